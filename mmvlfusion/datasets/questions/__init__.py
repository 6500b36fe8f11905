"""Data sets of questions, grouped by image."""

from .base import QuestionDataset, read_entries, read_questions
from .gqa import GQA
from .image_question_json import ImageQuestionJson
from .nlvr2 import NLVR2
from .snli_ve import SNLIVE
from .video_qa import VideoQA
from .vqa_v2 import VQAv2

__all__ = [
    'GQA',
    'ImageQuestionJson',
    'NLVR2',
    'QuestionDataset',
    'SNLIVE',
    'VQAv2',
    'VideoQA',
    'read_entries',
    'read_questions',
]
