from .box import BoxGenerationHead
from .classification import AnswerClassificationHead
from .class_token import ClassTokenHead
from .generation import TextGenerationHead

__all__ = ['AnswerClassificationHead', 'BoxGenerationHead', 'ClassTokenHead', 'TextGenerationHead']
