"""The formats of GQA."""
from typing import Any, Dict, List

import mmengine

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
        FileNotFoundError: If an image has no file.
        ValueError: If a question has no image.
    """

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset``."""
        content = mmengine.load(self.ann_file)
        if isinstance(content, dict):
            content = [
                dict(entry, question_id=number)
                for number, entry in content.items()
            ]
        questions = []
        for position, entry in enumerate(content):
            number = entry.get('question_id', position)
            if 'image' not in entry and 'imageId' not in entry:
                raise ValueError(f'Question {number} in {self.ann_file} has '
                                 'no image.')
            question = dict(
                question=entry['question'],
                question_id=number,
                image=entry.get('image') or f'{entry["imageId"]}.jpg',
                question_type=entry.get('types', {}).get('structural'))
            if 'answer' in entry:
                question['gt_answer'] = entry['answer']
            questions.append(question)
        return questions
