from .captions import ImageTextJson, ImageTextShards
from .questions import GQA, SNLIVE, VQAv2
from .samplers import TaskMixtureSampler
from .transforms import LoadImage, PackQuestions, SetTask

__all__ = [
    'GQA', 'ImageTextJson', 'ImageTextShards', 'LoadImage', 'PackQuestions',
    'SNLIVE', 'SetTask', 'TaskMixtureSampler', 'VQAv2'
]
