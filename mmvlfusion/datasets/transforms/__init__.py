from .loading import LoadImage
from .questions import PackQuestions
from .task import SetTask
from .video import LoadVideoFrames

__all__ = ['LoadImage', 'LoadVideoFrames', 'PackQuestions', 'SetTask']
