from .captions import ImageTextJson, ImageTextShards
from .questions import GQA, SNLIVE, VQAv2
from .transforms import LoadImage, PackQuestions

__all__ = [
    'GQA', 'ImageTextJson', 'ImageTextShards', 'LoadImage', 'PackQuestions',
    'SNLIVE', 'VQAv2'
]
