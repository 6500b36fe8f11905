from .loading import LoadImage
from .questions import PackQuestions
from .task import SetTask

__all__ = ['LoadImage', 'PackQuestions', 'SetTask']
