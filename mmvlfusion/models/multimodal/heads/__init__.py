from .box import BoxGenerationHead
from .classification import AnswerClassificationHead
from .generation import TextGenerationHead

__all__ = ['AnswerClassificationHead', 'BoxGenerationHead', 'TextGenerationHead']
