"""Scenes on the disk: images, label maps and videos, and what tasks say of
them."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import cv2
import numpy as np

from . import formats
from .captions import describe, refer
from .entailment import hypothesize
from .questions import ask
from .scene import (
    COLORS,
    KINDS,
    LEVELS,
    TEXTURES,
    Level,
    Scene,
    render_icon,
    render_scene,
)
from .video import film

# The tasks and their folders.
FOLDERS = dict(
    classification='classification',
    detection='coco',
    segmentation='ade',
    vqa='vqa',
    caption='caption',
    grounding='grounding',
    entailment='snli_ve',
    video='video',
)
TASKS = tuple(FOLDERS)
SPLITS = ('train', 'val')
CAPTIONS_PER_IMAGE = 3
HYPOTHESES_PER_IMAGE = 6
FRAMES_PER_VIDEO = 8
# ADE20K's folders.
ADE_FOLDERS = dict(train='training', val='validation')
# What a label map tells of shapes, and its folder; all share one numbering, so
# that one head may learn all.
LABEL_MAPS = dict(
    kind='annotations', color='annotations_color', texture='annotations_texture'
)
LABELS = (*KINDS, *COLORS, *TEXTURES)
# Which tasks say what of a scene.
RECORDS = dict(
    boxes={'detection', 'grounding'},
    questions={'vqa', 'video'},
    captions={'caption', 'video'},
    expressions={'grounding'},
    hypotheses={'entailment'},
)


def write_dataset(
    root: Path,
    level: str,
    numbers: Dict[str, int],
    tasks: Sequence[str],
    seed: int,
    workers: int,
    scene_size: Optional[int] = None,
    num_shapes: Optional[Sequence[int]] = None,
    num_questions: int = 6,
    attribute_maps: bool = False,
) -> None:
    """Write the data sets of a level; the same arguments, the same bytes.

    Args:
        root (Path): Folder of the level. Earlier data sets of the same tasks
            in it are replaced.
        level (str): ``'easy'`` or ``'standard'``.
        numbers (dict[str, int]): Images of each split, ``train`` and ``val``.
        tasks (Sequence[str]): Which of ``TASKS`` to write. Videos are of
            ``val`` alone, for tests of models that were trained on images.
        seed (int): Seed.
        workers (int): Number of processes.
        scene_size (int, optional): Side of the scenes in pixels. Defaults to
            the level's.
        num_shapes (Sequence[int], optional): The fewest and the most shapes of
            a scene. Defaults to the level's.
        num_questions (int): Questions about each scene or video. Defaults
            to 6.
        attribute_maps (bool): Whether label maps of colours and of textures
            join those of the kinds. Defaults to False.
    """
    changed = dict(scene_size=scene_size, num_shapes=num_shapes)
    chosen = replace(
        LEVELS[level],
        **{name: value for name, value in changed.items() if value is not None},
    )
    for task in tasks:
        shutil.rmtree(root / FOLDERS[task], ignore_errors=True)
    with ProcessPoolExecutor(workers) as pool:
        for split in SPLITS:
            if 'classification' in tasks:
                _write_icons(
                    pool, root / 'classification', chosen, split, numbers[split], seed
                )
            of_scenes = set(tasks) - {'classification'}
            if split == 'train':
                of_scenes -= {'video'}
            if of_scenes:
                _write_scenes(
                    pool,
                    root,
                    chosen,
                    split,
                    numbers[split],
                    of_scenes,
                    num_questions,
                    attribute_maps,
                    seed,
                )


def _generator(seed: int, split: str, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, SPLITS.index(split), index, purpose))


def _write_icons(
    pool: ProcessPoolExecutor,
    root: Path,
    level: Level,
    split: str,
    number: int,
    seed: int,
) -> None:
    for kind in KINDS:
        (root / split / kind).mkdir(parents=True, exist_ok=True)
    task = partial(_write_icon, root, level, split, seed)
    list(pool.map(task, range(number), chunksize=64))


def _write_icon(root: Path, level: Level, split: str, seed: int, index: int) -> None:
    kind = KINDS[index % len(KINDS)]
    rng = _generator(seed, split, index, purpose=0)
    image = render_icon(rng, level, kind)
    cv2.imwrite(str(root / split / kind / f'{index:06d}.png'), image)


def _write_scenes(
    pool: ProcessPoolExecutor,
    root: Path,
    level: Level,
    split: str,
    number: int,
    tasks: set,
    num_questions: int,
    attribute_maps: bool,
    seed: int,
) -> None:
    folders = dict(
        detection=root / 'coco' / formats.COCO_FOLDERS[split],
        segmentation=root / 'ade' / 'images' / ADE_FOLDERS[split],
        **{
            task: root / FOLDERS[task] / 'images' / split
            for task in ('vqa', 'caption', 'grounding', 'entailment')
        },
    )
    images = [folder for task, folder in folders.items() if task in tasks]
    maps = {
        told: root / 'ade' / folder / ADE_FOLDERS[split]
        for told, folder in LABEL_MAPS.items()
        if 'segmentation' in tasks and (told == 'kind' or attribute_maps)
    }
    videos = root / 'video' / 'videos' / split
    for folder in [*images, *maps.values(), *[videos] * ('video' in tasks)]:
        folder.mkdir(parents=True)
    task = partial(
        _write_scene, images, maps, videos, level, split, tasks, num_questions, seed
    )
    records = list(pool.map(task, range(number), chunksize=16))
    for task, write in dict(
        detection=formats.write_coco,
        vqa=formats.write_vqa,
        caption=formats.write_captions,
        grounding=formats.write_references,
        entailment=formats.write_entailment,
        video=formats.write_video_texts,
    ).items():
        if task in tasks:
            write(root / FOLDERS[task], split, level.scene_size, records)


def _write_scene(
    images: List[Path],
    maps: Dict[str, Path],
    videos: Path,
    level: Level,
    split: str,
    tasks: set,
    num_questions: int,
    seed: int,
    index: int,
) -> Dict[str, Any]:
    """Write the pictures of a scene; return what its tasks say of it."""
    rng = partial(_generator, seed, split, index)
    scene = render_scene(rng(1), level)
    # Ids are unique over the splits, like COCO's.
    image_id = 1 + index + 1_000_000 * SPLITS.index(split)
    name = f'{image_id:012d}'
    for number, folder in enumerate(images):
        if number == 0:
            cv2.imwrite(
                str(folder / f'{name}.jpg'), scene.image, [cv2.IMWRITE_JPEG_QUALITY, 95]
            )
        else:
            _link(images[0] / f'{name}.jpg', folder / f'{name}.jpg')
    for told, folder in maps.items():
        cv2.imwrite(str(folder / f'{name}.png'), _label_map(scene, told))
    if 'video' in tasks:
        _write_video(videos / f'{name}.avi', film(scene, rng(5), FRAMES_PER_VIDEO))
    makers = dict(
        boxes=lambda: _instances(scene),
        questions=lambda: ask(scene, rng(2), num_questions),
        captions=lambda: describe(scene, rng(3), CAPTIONS_PER_IMAGE),
        expressions=lambda: refer(scene),
        hypotheses=lambda: hypothesize(scene, rng(4), HYPOTHESES_PER_IMAGE),
    )
    return dict(
        image_id=image_id,
        **{field: make() for field, make in makers.items() if RECORDS[field] & tasks},
    )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # A file system without hard links.
        shutil.copyfile(source, target)


def _write_video(path: Path, frames: List[np.ndarray]) -> None:
    """Motion JPEG, which every build of OpenCV writes."""
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 8, (width, height)
    )
    for frame in frames:
        video.write(frame)
    video.release()


def _label_map(scene: Scene, told: str) -> np.ndarray:
    """ADE20K's labels: 0 unlabelled (none here), 1 the background, then
    ``LABELS``."""
    labels = np.ones(scene.image.shape[:2], np.uint8)
    for shape in scene.shapes:
        labels[shape.mask] = 2 + LABELS.index(getattr(shape, told))
    return labels


def _instances(scene: Scene) -> List[dict]:
    """COCO's boxes (x, y, width, height) and polygons, of the visible part."""
    instances = []
    for shape in scene.shapes:
        contours, _ = cv2.findContours(
            shape.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        polygons = [c.reshape(-1).tolist() for c in contours if len(c) >= 3]
        y, x = np.nonzero(shape.mask)
        instances.append(
            dict(
                category_id=1 + KINDS.index(shape.kind),
                bbox=[
                    int(x.min()),
                    int(y.min()),
                    int(np.ptp(x)) + 1,
                    int(np.ptp(y)) + 1,
                ],
                area=int(shape.mask.sum()),
                iscrowd=0,
                segmentation=polygons,
            )
        )
    return instances
