from .loading import LoadImage
from .questions import PackQuestions

__all__ = ['LoadImage', 'PackQuestions']
