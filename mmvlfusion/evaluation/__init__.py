from .caption import CaptionMetric
from .vqa import DumpAnswers, DumpSamples, ExactMatchAccuracy, VQAScore

__all__ = [
    'CaptionMetric',
    'DumpAnswers',
    'DumpSamples',
    'ExactMatchAccuracy',
    'VQAScore',
]
