from .caption import CaptionMetric
from .grounding import BoxAccuracy
from .vqa import DumpAnswers, DumpSamples, ExactMatchAccuracy, VQAScore

__all__ = [
    'BoxAccuracy',
    'CaptionMetric',
    'DumpAnswers',
    'DumpSamples',
    'ExactMatchAccuracy',
    'VQAScore',
]
