from .captions import CleanText
from .loading import LoadImage
from .questions import PackQuestions
from .task import SetTask
from .video import LoadVideoFrames

__all__ = ['CleanText', 'LoadImage', 'LoadVideoFrames', 'PackQuestions', 'SetTask']
