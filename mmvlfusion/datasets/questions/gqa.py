"""The annotation formats of GQA."""

from typing import Any, Dict, List

import mmengine

from mmvlfusion.datasets.utils.files import require_fields
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class GQA(QuestionDataset):
    """Questions of GQA, `<https://cs.stanford.edu/people/dorarad/gqa>`_.

    Two formats of the annotation file are supported:

    - The official json: a dict from the question id to ``question``,
      ``imageId`` and ``answer``.
    - The list that LAVIS publishes and mmpretrain reads: entries have
      ``question_id`` and ``image`` as well.

    Args:
        **kwargs: See ``QuestionDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If a question lacks a field.
    """

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``."""
        content = mmengine.load(self.ann_file)
        if isinstance(content, dict):
            content = [
                dict(entry, question_id=question_id)
                for question_id, entry in content.items()
            ]
        questions = []
        for position, entry in enumerate(content):
            image_field = 'image' if 'image' in entry else 'imageId'
            require_fields(entry, self.ann_file, 'question', image_field)
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
