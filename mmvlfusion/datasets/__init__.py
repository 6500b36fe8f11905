from .captions import ImageTextJson, ImageTextShards
from .questions import GQA, SNLIVE, VQAv2
from .referring import RefCOCO
from .samplers import TaskMixtureSampler
from .transforms import LoadImage, PackQuestions, SetTask

__all__ = [
    'GQA', 'ImageTextJson', 'ImageTextShards', 'LoadImage', 'PackQuestions',
    'RefCOCO', 'SNLIVE', 'SetTask', 'TaskMixtureSampler', 'VQAv2'
]
