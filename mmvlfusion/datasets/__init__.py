from .captions import ImageTextJson, ImageTextShards
from .questions import GQA, SNLIVE, VideoQA, VQAv2
from .referring import RefCOCO
from .samplers import TaskMixtureSampler
from .transforms import CleanText, LoadImage, LoadVideoFrames, PackQuestions, SetTask
from .video_text import VideoTextRetrieval

__all__ = [
    'CleanText',
    'GQA',
    'ImageTextJson',
    'ImageTextShards',
    'LoadImage',
    'LoadVideoFrames',
    'PackQuestions',
    'RefCOCO',
    'SNLIVE',
    'SetTask',
    'TaskMixtureSampler',
    'VQAv2',
    'VideoQA',
    'VideoTextRetrieval',
]
