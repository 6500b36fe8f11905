"""The annotation formats of GQA."""

from typing import Any, Dict, List

from mmvlfusion.datasets.utils.files import ID, check_type, load_json, require_fields
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
        ValueError: If a question lacks a field, or has a field of another type.
    """

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``."""
        content = load_json(self.ann_file, (dict, list))
        is_list = isinstance(content, list)
        questions = []
        for number, entry in enumerate(content) if is_list else content.items():
            require_fields(entry, self.ann_file, question=str)
            has_name = 'image' in entry and 'imageId' not in entry
            if has_name or entry.get('image') is not None:
                require_fields(entry, self.ann_file, image=str)
                image = entry['image']
            else:
                require_fields(entry, self.ann_file, imageId=ID)
                image = f'{entry["imageId"]}.jpg'
            types = {} if entry.get('types') is None else entry['types']
            check_type(types, f'types of question {number}', self.ann_file, dict)
            question = dict(
                question=entry['question'],
                question_id=number,
                image=image,
                question_type=types.get('structural'),
            )
            if is_list:
                question['question_id'] = entry.get('question_id', number)
            if 'answer' in entry:
                require_fields(entry, self.ann_file, answer=str)
                question['gt_answer'] = entry['answer']
            questions.append(question)
        return questions
