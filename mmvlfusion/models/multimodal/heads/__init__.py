from .classification import AnswerClassificationHead
from .generation import AnswerGenerationHead

__all__ = ['AnswerClassificationHead', 'AnswerGenerationHead']
