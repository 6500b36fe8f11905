from .captions import ImageTextJson, ImageTextShards, IndexedImageTextShards
from .questions import GQA, SNLIVE, VideoQA, VQAv2
from .referring import RefCOCO
from .samplers import ShardLocalSampler, TaskMixtureSampler
from .transforms import CleanText, LoadImage, LoadVideoFrames, PackQuestions, SetTask
from .video_text import VideoTextRetrieval

__all__ = [
    'CleanText',
    'GQA',
    'ImageTextJson',
    'ImageTextShards',
    'IndexedImageTextShards',
    'LoadImage',
    'LoadVideoFrames',
    'PackQuestions',
    'RefCOCO',
    'SNLIVE',
    'SetTask',
    'ShardLocalSampler',
    'TaskMixtureSampler',
    'VQAv2',
    'VideoQA',
    'VideoTextRetrieval',
]
