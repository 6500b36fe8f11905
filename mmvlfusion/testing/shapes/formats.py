"""Annotation files of the synthetic shapes, one function per format.

The functions have the same arguments and write the annotations of one split.
A record is a dict of one scene's annotations: ``image_id`` and, as the task
needs, ``boxes``, ``questions``, ``captions``, ``expressions`` and
``hypotheses``.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List

from .scene import KINDS

# COCO's folders.
COCO_FOLDERS = dict(train='train2017', val='val2017')
# VQA v2 has ten answers to each question.
NUM_ANNOTATORS = 10
# Question ids are image_id * factor + number. The factor is this one, or larger
# where an image has more questions.
MIN_QUESTION_ID_FACTOR = 100


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _dump_lines(path: Path, entries: List[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))


def _image(image_id: int, side: int, folder: str = '') -> Dict[str, Any]:
    """Make COCO's entry of an image."""
    return dict(
        id=image_id, file_name=f'{folder}{image_id:012d}.jpg', width=side, height=side
    )


def _instances(
    side: int, records: List[Dict[str, Any]], folder: str = ''
) -> Dict[str, list]:
    """Make COCO's instances, in the order of the scenes and their shapes."""
    images: List[dict] = []
    annotations: List[dict] = []
    for record in records:
        images.append(_image(record['image_id'], side, folder))
        for instance in record['boxes']:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=record['image_id'], **instance)
            )
    categories = [
        dict(id=1 + i, name=kind, supercategory='shape') for i, kind in enumerate(KINDS)
    ]
    return dict(images=images, annotations=annotations, categories=categories)


def write_coco(
    root: Path, split: str, side: int, records: List[Dict[str, Any]]
) -> None:
    """Write the instances in COCO's format.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    _dump(
        root / 'annotations' / f'instances_{COCO_FOLDERS[split]}.json',
        _instances(side, records),
    )


def _question_id_factor(records: List[Dict[str, Any]]) -> int:
    """Choose a power of ten that makes the question ids unique."""
    most_questions = max((len(record['questions']) for record in records), default=0)
    factor = MIN_QUESTION_ID_FACTOR
    while factor < most_questions:
        factor *= 10
    return factor


def write_vqa(root: Path, split: str, side: int, records: List[Dict[str, Any]]) -> None:
    """Write questions and answers in VQA v2's format.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    factor = _question_id_factor(records)
    questions, annotations = [], []
    for record in records:
        image_id = record['image_id']
        for number, question in enumerate(record['questions']):
            ids = dict(image_id=image_id, question_id=image_id * factor + number)
            fields = asdict(question)
            questions.append(dict(ids, question=fields['text']))
            annotations.append(
                dict(
                    ids,
                    question_type=' '.join(fields['text'].split()[:2]),
                    answer_type=fields['answer_type'],
                    multiple_choice_answer=fields['answer'],
                    answers=[
                        dict(
                            answer=fields['answer'],
                            answer_confidence='yes',
                            answer_id=i,
                        )
                        for i in range(1, NUM_ANNOTATORS + 1)
                    ],
                )
            )
    subtype = dict(data_type='shapes', data_subtype=split, license={}, info={})
    folder = root / 'annotations'
    _dump(
        folder / f'questions_{split}.json',
        dict(subtype, task_type='Open-Ended', questions=questions),
    )
    _dump(folder / f'annotations_{split}.json', dict(subtype, annotations=annotations))


def write_captions(
    root: Path, split: str, side: int, records: List[Dict[str, Any]]
) -> None:
    """Write captions as Karpathy's list and in COCO's format.

    An entry of the list is a caption in the training split, and an image with
    all its captions in other splits.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    listed: List[dict] = []
    images: List[dict] = []
    annotations: List[dict] = []
    for record in records:
        image_id, captions = record['image_id'], record['captions']
        image = _image(image_id, side)
        # Retrieval data sets take the folder and the file name from coco_url.
        images.append(dict(image, coco_url=f'images/{split}/{image["file_name"]}'))
        for caption in captions:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id, caption=caption)
            )
        listed += [
            dict(
                image=f'{split}/{image["file_name"]}',
                image_id=image_id,
                caption=caption,
            )
            for caption in (captions if split == 'train' else [captions])
        ]
    _dump(root / 'annotations' / f'karpathy_{split}.json', listed)
    _dump(
        root / 'annotations' / f'captions_{split}.json',
        dict(images=images, annotations=annotations),
    )


def write_references(
    root: Path, split: str, side: int, records: List[Dict[str, Any]]
) -> None:
    """Write referring expressions in RefCOCO's format, as json.

    There are two files: COCO's instances, and the expressions for them.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    instances = _instances(side, records, folder=f'{split}/')
    expressions = [texts for record in records for texts in record['expressions']]
    references = []
    for annotation, texts in zip(instances['annotations'], expressions):
        if texts:
            references.append(
                dict(
                    ref_id=annotation['id'],
                    ann_id=annotation['id'],
                    image_id=annotation['image_id'],
                    split=split,
                    sentences=[dict(sent=text) for text in texts],
                )
            )
    _dump(root / 'annotations' / f'instances_{split}.json', instances)
    _dump(root / 'annotations' / f'refs_{split}.json', references)


def write_entailment(
    root: Path, split: str, side: int, records: List[Dict[str, Any]]
) -> None:
    """Write pairs of an image and a hypothesis in SNLI-VE's format.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    entries = [
        dict(
            pairID=f'{record["image_id"]}#{number}',
            Flickr30K_ID=f'{record["image_id"]:012d}',
            sentence2=hypothesis.text,
            gold_label=hypothesis.label,
        )
        for record in records
        for number, hypothesis in enumerate(record['hypotheses'])
    ]
    _dump_lines(root / 'annotations' / f'snli_ve_{split}.jsonl', entries)


def write_video_texts(
    root: Path, split: str, side: int, records: List[Dict[str, Any]]
) -> None:
    """Write MSRVTT-QA's questions, and MSR-VTT's captions, one per video.

    Args:
        root (Path): Folder of the data set.
        split (str): The split.
        side (int): Side of the images in pixels.
        records (list[dict]): The records of all scenes.
    """
    names = {record['image_id']: f'{record["image_id"]:012d}' for record in records}
    _dump_lines(
        root / 'annotations' / f'qa_{split}.jsonl',
        [
            dict(
                video_id=names[record['image_id']],
                question=question.text,
                answer=question.answer,
            )
            for record in records
            for question in record['questions']
        ],
    )
    _dump_lines(
        root / 'annotations' / f'captions_{split}.jsonl',
        [
            dict(clip_name=names[record['image_id']], caption=record['captions'][0])
            for record in records
        ],
    )
