"""Json lists of questions with their images."""

from collections import Counter
from typing import Any, Dict, List

from mmvlfusion.datasets.utils.files import ID, load_json, require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset

# Weight of an answer of Visual Genome, to which one person answered.
SINGLE_ANSWER_WEIGHT = 0.5


@DATASETS.register_module()
class ImageQuestionJson(QuestionDataset):
    """Questions in the json lists that ALBEF's released code reads.

    An entry has ``image``, the path below ``data_prefix``, ``question``,
    ``question_id`` and, except in a test set, ``answer``: the answers of all
    annotators as a list, as in VQA v2, or one answer, as in Visual Genome. A list
    gives each different answer its share as weight, one answer has the weight
    0.5.

    Args:
        ann_file (str): The json file.
        **kwargs: See ``QuestionDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If an entry lacks a field or has a field of another type.
    """

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``."""
        questions = []
        for entry in load_json(self.ann_file, list):
            require_fields(
                entry, self.ann_file, image=str, question=str, question_id=ID
            )
            question = {k: entry[k] for k in ('image', 'question', 'question_id')}
            if 'answer' in entry:
                require_fields(entry, self.ann_file, answer=(str, list))
                question.update(self._answers(entry))
            questions.append(question)
        return questions

    def _answers(self, entry: Dict[str, Any]) -> Dict[str, Any]:
        """The fields of the answers of an entry."""
        answers = entry['answer']
        if isinstance(answers, str):
            return dict(gt_answer=[answers], gt_answer_weight=[SINGLE_ANSWER_WEIGHT])
        if not answers or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(
                f'Question {entry["question_id"]} in {self.ann_file} has the answers '
                f'{answers}, expected at least one text: fix or remove this entry.'
            )
        counts = Counter(answers)
        return dict(
            gt_answer=list(counts),
            gt_answer_weight=[count / len(answers) for count in counts.values()],
            num_annotators=len(answers),
        )
