from .captions import CleanText
from .loading import LoadImage
from .pairs import LoadImages
from .questions import PackQuestions
from .task import SetTask
from .video import LoadVideoFrames

__all__ = [
    'CleanText',
    'LoadImage',
    'LoadImages',
    'LoadVideoFrames',
    'PackQuestions',
    'SetTask',
]
