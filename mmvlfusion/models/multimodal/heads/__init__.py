from .classification import AnswerClassificationHead
from .generation import TextGenerationHead

__all__ = ['AnswerClassificationHead', 'TextGenerationHead']
