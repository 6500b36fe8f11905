"""The on-disk formats of the synthetic shapes."""
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import cv2
import numpy as np

from .captions import describe, refer
from .questions import ask
from .scene import KINDS, LEVELS, Level, Scene, render_icon, render_scene

# The tasks and their folders.
FOLDERS = dict(
    classification='classification', detection='coco', segmentation='ade',
    vqa='vqa', caption='caption', grounding='grounding')  # yapf: disable
TASKS = tuple(FOLDERS)
SPLITS = ('train', 'val')
QUESTIONS_PER_IMAGE = 6
CAPTIONS_PER_IMAGE = 3
# ADE20K's folders, and COCO's.
ADE_FOLDERS = dict(train='training', val='validation')
COCO_FOLDERS = dict(train='train2017', val='val2017')


def write_dataset(root: Path,
                  level: str,
                  numbers: Dict[str, int],
                  tasks: Sequence[str],
                  seed: int,
                  workers: int,
                  scene_size: Optional[int] = None) -> None:
    """Write the data sets of a level; the same arguments, the same bytes.

    Args:
        root (Path): Folder of the level. The folders of earlier data sets in
            it are replaced.
        level (str): ``'easy'`` or ``'standard'``.
        numbers (dict[str, int]): Images of each split, ``train`` and ``val``.
        tasks (Sequence[str]): Which of ``TASKS`` to write.
        seed (int): Seed.
        workers (int): Number of processes.
        scene_size (int, optional): Side of the scenes in pixels. Defaults to
            the level's.
    """
    chosen = LEVELS[level]
    if scene_size is not None:
        chosen = replace(chosen, scene_size=scene_size)
    for folder in FOLDERS.values():
        shutil.rmtree(root / folder, ignore_errors=True)
    with ProcessPoolExecutor(workers) as pool:
        for split in SPLITS:
            if 'classification' in tasks:
                _write_icons(pool, root / 'classification', chosen, split,
                             numbers[split], seed)
            if set(tasks) - {'classification'}:
                _write_scenes(pool, root, chosen, split, numbers[split],
                              tasks, seed)


def _generator(seed: int, split: str, index: int,
               purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, SPLITS.index(split), index, purpose))


def _write_icons(pool: ProcessPoolExecutor, root: Path, level: Level,
                 split: str, number: int, seed: int) -> None:
    for kind in KINDS:
        (root / split / kind).mkdir(parents=True, exist_ok=True)
    task = partial(_write_icon, root, level, split, seed)
    list(pool.map(task, range(number), chunksize=64))


def _write_icon(root: Path, level: Level, split: str, seed: int,
                index: int) -> None:
    kind = KINDS[index % len(KINDS)]
    rng = _generator(seed, split, index, purpose=0)
    image = render_icon(rng, level, kind)
    cv2.imwrite(str(root / split / kind / f'{index:06d}.png'), image)


def _write_scenes(pool: ProcessPoolExecutor, root: Path, level: Level,
                  split: str, number: int, tasks: Sequence[str],
                  seed: int) -> None:
    folders = {
        'detection': root / 'coco' / COCO_FOLDERS[split],
        'segmentation': root / 'ade' / 'images' / ADE_FOLDERS[split],
        **{
            task: root / task / 'images' / split
            for task in ('vqa', 'caption', 'grounding')
        },
    }
    images = [folders[task] for task in folders if task in tasks]
    maps = root / 'ade' / 'annotations' / ADE_FOLDERS[split]
    if 'segmentation' in tasks:
        maps.mkdir(parents=True)
    for folder in images:
        folder.mkdir(parents=True)
    task = partial(_write_scene, images, maps, level, split, tasks, seed)
    records = list(pool.map(task, range(number), chunksize=16))
    for task, write in dict(
            detection=_write_coco, vqa=_write_vqa, caption=_write_captions,
            grounding=_write_references).items():  # yapf: disable
        if task in tasks:
            write(root / FOLDERS[task], split, level.scene_size, records)


def _write_scene(images: List[Path], maps: Path, level: Level, split: str,
                 tasks: Sequence[str], seed: int,
                 index: int) -> Dict[str, Any]:
    """Write a scene's images; return what else its tasks need."""
    scene = render_scene(_generator(seed, split, index, 1), level)
    # Ids are unique over the splits, like COCO's.
    name = f'{_image_id(split, index):012d}'
    first = images[0] / f'{name}.jpg'
    cv2.imwrite(str(first), scene.image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    for folder in images[1:]:
        _link(first, folder / first.name)
    if 'segmentation' in tasks:
        cv2.imwrite(str(maps / f'{name}.png'), _label_map(scene))
    record: Dict[str, Any] = {}
    if {'detection', 'grounding'} & set(tasks):
        record['boxes'] = _instances(scene)
    if 'vqa' in tasks:
        record['questions'] = ask(scene, _generator(seed, split, index, 2),
                                  QUESTIONS_PER_IMAGE)
    if 'caption' in tasks:
        record['captions'] = describe(
            scene, _generator(seed, split, index, 3), CAPTIONS_PER_IMAGE)
    if 'grounding' in tasks:
        record['expressions'] = refer(scene)
    return record


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # A file system without hard links.
        shutil.copyfile(source, target)


def _image_id(split: str, index: int) -> int:
    return 1 + index + 1_000_000 * SPLITS.index(split)


def _label_map(scene: Scene) -> np.ndarray:
    """ADE20K's labels: 0 unlabelled (none here), 1 the background, then the
    kinds in order."""
    labels = np.ones(scene.image.shape[:2], np.uint8)
    for shape in scene.shapes:
        labels[shape.mask] = 2 + KINDS.index(shape.kind)
    return labels


def _instances(scene: Scene) -> List[dict]:
    """COCO's boxes (x, y, width, height) and polygons, of the visible part."""
    instances = []
    for shape in scene.shapes:
        contours, _ = cv2.findContours(
            shape.mask.astype(np.uint8), cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_NONE)
        polygons = [c.reshape(-1).tolist() for c in contours if len(c) >= 3]
        y, x = np.nonzero(shape.mask)
        instances.append(
            dict(
                category_id=1 + KINDS.index(shape.kind),
                bbox=[int(x.min()), int(y.min()),
                      int(np.ptp(x)) + 1, int(np.ptp(y)) + 1],
                area=int(shape.mask.sum()),
                iscrowd=0,
                segmentation=polygons))  # yapf: disable
    return instances


def _dump(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _image(image_id: int, side: int, folder: str = '') -> Dict[str, Any]:
    """COCO's description of an image."""
    return dict(
        id=image_id,
        file_name=f'{folder}{image_id:012d}.jpg',
        width=side,
        height=side)


def _write_coco(root: Path, split: str, side: int,
                records: List[Dict[str, Any]]) -> None:
    content = _coco(split, side, records)
    _dump(root / 'annotations' / f'instances_{COCO_FOLDERS[split]}.json',
          content)


def _coco(split: str, side: int, records: List[Dict[str, Any]],
          folder: str = '') -> Dict[str, list]:
    """COCO's boxes and polygons; annotations stand in the order of scenes and
    their shapes."""
    images, annotations = [], []
    for index, record in enumerate(records):
        image_id = _image_id(split, index)
        images.append(_image(image_id, side, folder))
        for instance in record['boxes']:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id, **instance))
    categories = [
        dict(id=1 + i, name=kind, supercategory='shape')
        for i, kind in enumerate(KINDS)
    ]
    return dict(images=images, annotations=annotations, categories=categories)


def _write_vqa(root: Path, split: str, side: int,
               records: List[Dict[str, Any]]) -> None:
    questions, annotations = [], []
    for index, record in enumerate(records):
        image_id = _image_id(split, index)
        for number, question in enumerate(record['questions']):
            ids = dict(image_id=image_id, question_id=image_id * 100 + number)
            fields = asdict(question)
            questions.append(dict(ids, question=fields['text']))
            annotations.append(
                dict(
                    ids,
                    question_type=' '.join(fields['text'].split()[:2]),
                    answer_type=fields['answer_type'],
                    multiple_choice_answer=fields['answer'],
                    answers=[
                        dict(answer=fields['answer'], answer_confidence='yes',
                             answer_id=i) for i in range(1, 11)
                    ]))  # yapf: disable
    subtype = dict(data_type='shapes', data_subtype=split, license={}, info={})
    folder = root / 'annotations'
    _dump(folder / f'questions_{split}.json',
          dict(subtype, task_type='Open-Ended', questions=questions))
    _dump(folder / f'annotations_{split}.json',
          dict(subtype, annotations=annotations))


def _write_captions(root: Path, split: str, side: int,
                    records: List[Dict[str, Any]]) -> None:
    """Karpathy's list, of captions in training and of images else, and COCO's
    captions."""
    listed, images, annotations = [], [], []
    for index, record in enumerate(records):
        image_id = _image_id(split, index)
        image = _image(image_id, side)
        # Retrieval data sets take folder and file from the address.
        images.append(
            dict(image, coco_url=f'images/{split}/{image["file_name"]}'))
        for caption in record['captions']:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id,
                     caption=caption))  # yapf: disable
        captions = record['captions']
        listed += [
            dict(image=f'{split}/{image["file_name"]}', image_id=image_id,
                 caption=caption)
            for caption in (captions if split == 'train' else [captions])
        ]  # yapf: disable
    _dump(root / 'annotations' / f'karpathy_{split}.json', listed)
    _dump(root / 'annotations' / f'captions_{split}.json',
          dict(images=images, annotations=annotations))


def _write_references(root: Path, split: str, side: int,
                      records: List[Dict[str, Any]]) -> None:
    """RefCOCO's two files of a split, both as json: COCO's instances, and the
    expressions for them."""
    instances = _coco(split, side, records, folder=f'{split}/')
    expressions = [
        texts for record in records for texts in record['expressions']
    ]
    references = []
    for annotation, texts in zip(instances['annotations'], expressions):
        if texts:
            references.append(
                dict(ref_id=annotation['id'], ann_id=annotation['id'],
                     image_id=annotation['image_id'], split=split,
                     sentences=[dict(sent=text) for text in texts])
            )  # yapf: disable
    _dump(root / 'annotations' / f'instances_{split}.json', instances)
    _dump(root / 'annotations' / f'refs_{split}.json', references)
