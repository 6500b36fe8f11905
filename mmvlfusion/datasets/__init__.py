from .captions import ImageTextJson, ImageTextShards, IndexedImageTextShards
from .questions import GQA, NLVR2, SNLIVE, ImageQuestionJson, VideoQA, VQAv2
from .referring import RefCOCO
from .samplers import ShardLocalSampler, TaskMixtureSampler
from .transforms import (
    CleanText,
    LoadImage,
    LoadImages,
    LoadVideoFrames,
    PackQuestions,
    SetTask,
)
from .video_text import VideoTextRetrieval

__all__ = [
    'CleanText',
    'GQA',
    'ImageQuestionJson',
    'ImageTextJson',
    'ImageTextShards',
    'IndexedImageTextShards',
    'LoadImage',
    'LoadImages',
    'LoadVideoFrames',
    'NLVR2',
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
