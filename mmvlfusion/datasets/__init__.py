from .questions import GQA, SNLIVE, VQAv2
from .transforms import LoadImage, PackQuestions

__all__ = ['GQA', 'LoadImage', 'PackQuestions', 'SNLIVE', 'VQAv2']
