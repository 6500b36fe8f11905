"""The annotation format of VQA v2."""

from collections import Counter
from typing import Any, Collection, Dict, List

import mmengine

from mmvlfusion.datasets.utils.files import ID, load_json, require_fields
from mmvlfusion.datasets.utils.image_names import ImageNames
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class VQAv2(QuestionDataset):
    """Questions in the format of VQA v2, `<https://visualqa.org>`_.

    An image is found by its id: a number with twelve digits in the file name,
    as in COCO, or a file name with or without extension, such as ``'beach'``,
    ``'trip/beach.jpg'`` and 7 for ``7.jpg``.

    Args:
        question_file (str): The json file with ``questions``, below
            ``data_root``.
        ann_file (str): The json file with ``annotations``, the answers.
            Defaults to '', as for a test set.
        **kwargs: See ``QuestionDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If a question lacks a field or has a field of another type,
            the questions and answers do not match one to one, or an id fits
            several images.
    """

    IMAGE_HINT = (
        'The image_id of VQA v2 is a number with twelve digits in the name of the '
        "image, or the image's name with or without extension."
    )

    def __init__(self, question_file: str, ann_file: str = '', **kwargs) -> None:
        self.question_file = question_file
        super().__init__(ann_file=ann_file, **kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        if not mmengine.is_abs(self.question_file):
            self.question_file = mmengine.join_path(self.data_root, self.question_file)

    @property
    def source(self) -> str:
        """str: The file of the questions."""
        return self.question_file

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``."""
        questions = self._load_list(self.question_file, 'questions')
        images = ImageNames(files)
        found: Dict[Any, str] = {}
        for question in questions:
            require_fields(
                question, self.source, question=str, question_id=ID, image_id=ID
            )
            image_id = question['image_id']
            if image_id not in found:
                found[image_id] = images.find(image_id, self.source)
            question['image'] = found[image_id]
        if self.ann_file:
            self._add_answers(questions)
        return questions

    @staticmethod
    def _load_list(path: str, field: str) -> List[Any]:
        """Read the list of questions or of annotations from a file."""
        content = load_json(path, dict)
        require_fields(content, path, **{field: list})
        return content[field]

    def _add_answers(self, questions: List[Dict[str, Any]]) -> None:
        """Read the answers and add them to their questions."""
        annotations = self._load_annotations()
        question_ids = {question['question_id'] for question in questions}
        _check_counterparts(
            question_ids, self.source, annotations, self.ann_file, 'answer'
        )
        _check_counterparts(
            annotations, self.ann_file, question_ids, self.source, 'question'
        )
        for question in questions:
            ann = annotations[question['question_id']]
            if ann['image_id'] != question['image_id']:
                raise ValueError(
                    f'Question {ann["question_id"]} is about image '
                    f'{question["image_id"]} in {self.source} and '
                    f'{ann["image_id"]} in {self.ann_file}: use files of the '
                    'same version.'
                )
            counts = Counter(item['answer'] for item in ann['answers'])
            question['gt_answer'] = list(counts)
            question['num_annotators'] = len(ann['answers'])
            question['gt_answer_weight'] = [
                count / len(ann['answers']) for count in counts.values()
            ]
            for key in ('question_type', 'answer_type'):
                question[key] = ann.get(key)

    def _load_annotations(self) -> Dict[Any, Dict[str, Any]]:
        """Read the annotations by question id, and check each of them."""
        entries = self._load_list(self.ann_file, 'annotations')
        for ann in entries:
            require_fields(
                ann, self.ann_file, question_id=ID, image_id=ID, answers=list
            )
            if not ann['answers']:
                raise ValueError(
                    f'Question {ann["question_id"]} has no answer in '
                    f'{self.ann_file}: fix or remove this entry.'
                )
            for answer in ann['answers']:
                require_fields(answer, self.ann_file, answer=str)
        annotations = {ann['question_id']: ann for ann in entries}
        if len(annotations) < len(entries):
            counts = Counter(ann['question_id'] for ann in entries)
            duplicate = counts.most_common(1)[0][0]
            raise ValueError(
                f'{self.ann_file} answers the question {duplicate} more than '
                'once: remove the duplicates.'
            )
        return annotations


def _check_counterparts(
    ids: Collection, source: str, other_ids: Collection, other_source: str, what: str
) -> None:
    """Check that all question ids of a file are in the other file."""
    missing = [number for number in ids if number not in other_ids]
    if missing:
        raise ValueError(
            f'{len(missing)} question ids (e.g. {missing[0]}) of {source} have no '
            f'{what} in {other_source}: use files of the same version.'
        )
