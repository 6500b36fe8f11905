"""The annotation format of VQA v2."""

import re
from collections import Counter
from typing import Any, Collection, Dict, List

import mmengine

from mmvlfusion.datasets.utils.files import require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class VQAv2(QuestionDataset):
    """Questions in the format of VQA v2, `<https://visualqa.org>`_.

    The file name of an image contains the image id with twelve digits, as
    COCO's do.

    Args:
        question_file (str): The json file with ``questions``, below
            ``data_root``.
        ann_file (str): The json file with ``annotations``, the answers.
            Defaults to '', as for a test set.
        **kwargs: See ``QuestionDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If a question lacks a field, or the questions and answers do
            not match one to one.
    """

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
        questions = mmengine.load(self.question_file)['questions']
        names = {}
        for name in files:
            digits = re.findall(r'\d{12}', name)
            if digits:
                names[int(digits[-1])] = name
        for question in questions:
            require_fields(question, self.source, 'question', 'question_id', 'image_id')
            image_id = question['image_id']
            question['image'] = names.get(image_id, f'{image_id:012d}.jpg')
        if self.ann_file:
            self._add_answers(questions)
        return questions

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
        entries = mmengine.load(self.ann_file)['annotations']
        for ann in entries:
            require_fields(ann, self.ann_file, 'question_id', 'image_id', 'answers')
            if not ann['answers']:
                raise ValueError(
                    f'Question {ann["question_id"]} has no answer in '
                    f'{self.ann_file}: fix or remove this entry.'
                )
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
