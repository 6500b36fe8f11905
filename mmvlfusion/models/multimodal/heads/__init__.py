from .box import BoxGenerationHead
from .class_token import ClassTokenHead
from .classification import AnswerClassificationHead
from .generation import TextGenerationHead

__all__ = [
    'AnswerClassificationHead',
    'BoxGenerationHead',
    'ClassTokenHead',
    'TextGenerationHead',
]
