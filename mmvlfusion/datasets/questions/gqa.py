"""The formats of GQA."""

from typing import Any, Dict, List

import mmengine

from mmvlfusion.datasets.utils.files import require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class GQA(QuestionDataset):
    """Questions of GQA, `<https://cs.stanford.edu/people/dorarad/gqa>`_.

    The file is the official json, a dict from the question's number to
    ``question``, ``imageId`` and ``answer``, or the list that LAVIS publishes
    and mmpretrain reads, with ``question_id`` and ``image`` in each entry.

    Args:
        **kwargs: See ``QuestionDataset``.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If a question lacks a field.
    """

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset``."""
        content = mmengine.load(self.ann_file)
        if isinstance(content, dict):
            content = [
                dict(entry, question_id=number) for number, entry in content.items()
            ]
        questions = []
        for position, entry in enumerate(content):
            require_fields(
                entry,
                self.ann_file,
                'question',
                'image' if 'image' in entry else 'imageId',
            )
            question = dict(
                question=entry['question'],
                question_id=entry.get('question_id', position),
                image=entry.get('image') or f'{entry["imageId"]}.jpg',
                question_type=entry.get('types', {}).get('structural'),
            )
            if 'answer' in entry:
                question['gt_answer'] = entry['answer']
            questions.append(question)
        return questions
