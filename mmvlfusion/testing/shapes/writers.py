"""Writing of synthetic data sets: images, label maps, videos, annotations."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from . import formats
from .captions import describe, refer
from .entailment import hypothesize
from .questions import DEFAULT_KINDS, ask
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

# The folder of each task.
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
FRAMES_PER_SECOND = 8
JPEG_QUALITY = 95
# Difference between the image ids of two splits. Ids are unique over the
# splits, as COCO's are.
IDS_PER_SPLIT = 1_000_000
# ADE20K's folders.
ADE_FOLDERS = dict(train='training', val='validation')
# The folder of the label maps of each attribute.
LABEL_MAPS = dict(
    kind='annotations', color='annotations_color', texture='annotations_texture'
)
# Names of the labels. All label maps share them, so that one head can learn
# all attributes.
LABELS = (*KINDS, *COLORS, *TEXTURES)
# ADE20K's labels: 0 is unlabelled (not used here), 1 is the background.
BACKGROUND_LABEL = 1
FIRST_SHAPE_LABEL = 2
# The annotations of a scene, and the tasks that use each of them.
RECORDS = dict(
    boxes={'detection', 'grounding'},
    questions={'vqa', 'video'},
    captions={'caption', 'video'},
    expressions={'grounding'},
    hypotheses={'entailment'},
)


class _Stream(IntEnum):
    """Random streams; each purpose draws from a separate one."""

    ICON = 0
    SCENE = 1
    QUESTIONS = 2
    CAPTIONS = 3
    HYPOTHESES = 4
    VIDEO = 5


@dataclass(frozen=True)
class _Recipe:
    """Settings of all data sets of a level.

    Attributes:
        root (Path): Folder of the level.
        level (Level): Difficulty of the scenes.
        tasks (frozenset[str]): The tasks to write.
        num_questions (int): Questions about each scene or video.
        question_kinds (tuple[str, ...]): See ``ask``.
        attribute_maps (bool): Whether to write label maps of colours and
            textures.
        seed (int): Seed.
    """

    root: Path
    level: Level
    tasks: FrozenSet[str]
    num_questions: int
    question_kinds: Tuple[str, ...]
    attribute_maps: bool
    seed: int

    def scene_tasks(self, split: str) -> FrozenSet[str]:
        """Get the tasks that use the scenes of a split.

        Args:
            split (str): The split.

        Returns:
            frozenset[str]: The tasks.
        """
        other_tasks = {'classification'}
        if split == 'train':
            other_tasks.add('video')
        return self.tasks - other_tasks

    def generator(self, split: str, index: int, stream: _Stream) -> np.random.Generator:
        """Make the random generator of an image for one purpose.

        Args:
            split (str): The split.
            index (int): Index of the image in the split.
            stream (_Stream): The purpose.

        Returns:
            numpy.random.Generator: The generator.
        """
        return np.random.default_rng(
            (self.seed, SPLITS.index(split), index, int(stream))
        )


@dataclass(frozen=True)
class _SceneFolders:
    """Folders of the files of a split.

    Attributes:
        images (list[Path]): Folders of the images, one for each task.
        label_maps (dict[str, Path]): Folders of the label maps by attribute.
        videos (Path, optional): Folder of the videos.
    """

    images: List[Path]
    label_maps: Dict[str, Path]
    videos: Optional[Path]


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
    question_kinds: Sequence[str] = DEFAULT_KINDS,
    attribute_maps: bool = False,
) -> None:
    """Write the data sets of a level.

    The same arguments give the same bytes.

    Args:
        root (Path): Folder of the level. Existing data sets of the same tasks
            in it are replaced.
        level (str): ``'easy'`` or ``'standard'``.
        numbers (dict[str, int]): Number of images in each split, ``train`` and
            ``val``.
        tasks (Sequence[str]): The tasks to write, from ``TASKS``. Videos are
            only written for ``val``, to test models that were trained on
            images.
        seed (int): Seed.
        workers (int): Number of processes.
        scene_size (int, optional): Side of the scenes in pixels. Defaults to
            None, the level's value.
        num_shapes (Sequence[int], optional): Smallest and largest number of
            shapes in a scene. Defaults to None, the level's values.
        num_questions (int): Questions about each scene or video. Defaults
            to 6.
        question_kinds (Sequence[str]): See ``ask``.
        attribute_maps (bool): Whether to write label maps of colours and
            textures in addition to those of kinds. Defaults to False.

    Raises:
        ValueError: If a scene has fewer than ``num_questions`` different
            questions.
    """
    chosen_level = LEVELS[level]
    if scene_size is not None:
        chosen_level = replace(chosen_level, scene_size=scene_size)
    if num_shapes is not None:
        chosen_level = replace(chosen_level, num_shapes=(num_shapes[0], num_shapes[1]))
    recipe = _Recipe(
        root=root,
        level=chosen_level,
        tasks=frozenset(tasks),
        num_questions=num_questions,
        question_kinds=tuple(question_kinds),
        attribute_maps=attribute_maps,
        seed=seed,
    )
    for task in tasks:
        shutil.rmtree(root / FOLDERS[task], ignore_errors=True)
    with ProcessPoolExecutor(workers) as pool:
        for split in SPLITS:
            if 'classification' in tasks:
                _write_icons(pool, recipe, split, numbers[split])
            if recipe.scene_tasks(split):
                _write_scenes(pool, recipe, split, numbers[split])


def _write_icons(
    pool: ProcessPoolExecutor, recipe: _Recipe, split: str, number: int
) -> None:
    """Write the icons of a split, for classification."""
    for kind in KINDS:
        folder = recipe.root / FOLDERS['classification'] / split / kind
        folder.mkdir(parents=True, exist_ok=True)
    write = partial(_write_icon, recipe, split)
    list(pool.map(write, range(number), chunksize=64))


def _write_icon(recipe: _Recipe, split: str, index: int) -> None:
    """Write one icon."""
    kind = KINDS[index % len(KINDS)]
    rng = recipe.generator(split, index, _Stream.ICON)
    image = render_icon(rng, recipe.level, kind)
    folder = recipe.root / FOLDERS['classification'] / split / kind
    cv2.imwrite(str(folder / f'{index:06d}.png'), image)


def _write_scenes(
    pool: ProcessPoolExecutor, recipe: _Recipe, split: str, number: int
) -> None:
    """Write the scenes of a split and their annotations."""
    folders = _make_scene_folders(recipe, split)
    write = partial(_write_scene, recipe, folders, split)
    records = list(pool.map(write, range(number), chunksize=16))
    tasks = recipe.scene_tasks(split)
    for task, write_annotations in dict(
        detection=formats.write_coco,
        vqa=formats.write_vqa,
        caption=formats.write_captions,
        grounding=formats.write_references,
        entailment=formats.write_entailment,
        video=formats.write_video_texts,
    ).items():
        if task in tasks:
            folder = recipe.root / FOLDERS[task]
            write_annotations(folder, split, recipe.level.scene_size, records)


def _make_scene_folders(recipe: _Recipe, split: str) -> _SceneFolders:
    """Make the folders of a split's images, label maps and videos."""
    tasks = recipe.scene_tasks(split)
    coco = recipe.root / FOLDERS['detection']
    ade = recipe.root / FOLDERS['segmentation']
    image_folders = dict(
        detection=coco / formats.COCO_FOLDERS[split],
        segmentation=ade / 'images' / ADE_FOLDERS[split],
    )
    for task in ('vqa', 'caption', 'grounding', 'entailment'):
        image_folders[task] = recipe.root / FOLDERS[task] / 'images' / split
    images = [folder for task, folder in image_folders.items() if task in tasks]
    label_maps = {}
    if 'segmentation' in tasks:
        for attribute, name in LABEL_MAPS.items():
            if attribute == 'kind' or recipe.attribute_maps:
                label_maps[attribute] = ade / name / ADE_FOLDERS[split]
    videos = None
    if 'video' in tasks:
        videos = recipe.root / FOLDERS['video'] / 'videos' / split
    for folder in (*images, *label_maps.values(), videos):
        if folder is not None:
            folder.mkdir(parents=True)
    return _SceneFolders(images, label_maps, videos)


def _write_scene(
    recipe: _Recipe, folders: _SceneFolders, split: str, index: int
) -> Dict[str, Any]:
    """Write the images of a scene; return its annotations."""
    rng = partial(recipe.generator, split, index)
    scene = render_scene(rng(_Stream.SCENE), recipe.level)
    image_id = 1 + index + IDS_PER_SPLIT * SPLITS.index(split)
    name = f'{image_id:012d}'
    paths = [folder / f'{name}.jpg' for folder in folders.images]
    if paths:
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        cv2.imwrite(str(paths[0]), scene.image, quality)
    for path in paths[1:]:
        _link(paths[0], path)
    for attribute, folder in folders.label_maps.items():
        cv2.imwrite(str(folder / f'{name}.png'), _label_map(scene, attribute))
    if folders.videos is not None:
        frames = film(scene, rng(_Stream.VIDEO), FRAMES_PER_VIDEO)
        _write_video(folders.videos / f'{name}.avi', frames)
    makers = dict(
        boxes=lambda: _instances(scene),
        questions=lambda: ask(
            scene,
            rng(_Stream.QUESTIONS),
            recipe.num_questions,
            recipe.question_kinds,
        ),
        captions=lambda: describe(scene, rng(_Stream.CAPTIONS), CAPTIONS_PER_IMAGE),
        expressions=lambda: refer(scene),
        hypotheses=lambda: hypothesize(
            scene, rng(_Stream.HYPOTHESES), HYPOTHESES_PER_IMAGE
        ),
    )
    tasks = recipe.scene_tasks(split)
    record: Dict[str, Any] = dict(image_id=image_id)
    for field, make in makers.items():
        if RECORDS[field] & tasks:
            record[field] = make()
    return record


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_video(path: Path, frames: List[np.ndarray]) -> None:
    """Write a video as Motion JPEG, which every build of OpenCV supports."""
    height, width = frames[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*'MJPG')
    video = cv2.VideoWriter(str(path), codec, FRAMES_PER_SECOND, (width, height))
    for frame in frames:
        video.write(frame)
    video.release()


def _label_map(scene: Scene, attribute: str) -> np.ndarray:
    """Draw the label map (H, W) of an attribute, with ADE20K's labels."""
    labels = np.full(scene.image.shape[:2], BACKGROUND_LABEL, np.uint8)
    for shape in scene.shapes:
        name = getattr(shape, attribute)
        labels[shape.mask] = FIRST_SHAPE_LABEL + LABELS.index(name)
    return labels


def _instances(scene: Scene) -> List[dict]:
    """Make COCO's boxes (x, y, width, height) and polygons of the visible parts."""
    instances = []
    for shape in scene.shapes:
        contours, _ = cv2.findContours(
            shape.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        # (corners, 1, 2) -> [x1, y1, x2, y2, ...]
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
