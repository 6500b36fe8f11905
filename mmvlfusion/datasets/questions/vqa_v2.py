"""The format of VQA v2."""

import re
from collections import Counter
from typing import Any, Dict, List

import mmengine

from mmvlfusion.datasets.utils.files import require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class VQAv2(QuestionDataset):
    """Questions in the format of VQA v2, `<https://visualqa.org>`_.

    Args:
        question_file (str): The json file with ``questions``, below
            ``data_root``.
        ann_file (str): The json file with their ``annotations``. Defaults to
            '', as for a test set.
        **kwargs: See ``QuestionDataset``. The files of the images bear the
            number of their image in twelve digits, as COCO's.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If a question lacks a field, or questions and answers do
            not pair.
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
        """See ``QuestionDataset``."""
        questions = mmengine.load(self.question_file)['questions']
        names = {}
        for name in files:
            digits = re.findall(r'\d{12}', name)
            if digits:
                names[int(digits[-1])] = name
        for question in questions:
            require_fields(question, self.source, 'question', 'question_id', 'image_id')
            number = question['image_id']
            question['image'] = names.get(number, f'{number:012d}.jpg')
        if self.ann_file:
            self._add_answers(questions)
        return questions

    def _add_answers(self, questions: List[Dict[str, Any]]) -> None:
        listed = mmengine.load(self.ann_file)['annotations']
        for ann in listed:
            require_fields(ann, self.ann_file, 'question_id', 'image_id', 'answers')
            if not ann['answers']:
                raise ValueError(
                    f'Question {ann["question_id"]} has no answer in '
                    f'{self.ann_file}: leave it out.'
                )
        annotations = {ann['question_id']: ann for ann in listed}
        if len(annotations) < len(listed):
            counts = Counter(ann['question_id'] for ann in listed)
            raise ValueError(
                f'{self.ann_file} answers the question '
                f'{counts.most_common(1)[0][0]} more than once.'
            )
        asked = {question['question_id'] for question in questions}
        for told, known, what in (
            (asked, annotations, 'answer'),
            (annotations, asked, 'question'),
        ):
            alone = [number for number in told if number not in known]
            if alone:
                raise ValueError(
                    f'{self.source} and {self.ann_file} do not pair: '
                    f'{len(alone)} numbers, {alone[0]} the first, have no '
                    f'{what}.'
                )
        for question in questions:
            ann = annotations[question['question_id']]
            if ann['image_id'] != question['image_id']:
                raise ValueError(
                    f'Question {ann["question_id"]} is about image '
                    f'{question["image_id"]} in {self.source} and '
                    f'{ann["image_id"]} in {self.ann_file}.'
                )
            counts = Counter(item['answer'] for item in ann['answers'])
            question['gt_answer'] = list(counts)
            question['gt_answer_weight'] = [
                count / len(ann['answers']) for count in counts.values()
            ]
            for key in ('question_type', 'answer_type'):
                question[key] = ann.get(key)
