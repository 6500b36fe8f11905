from .base import ImageTextPairs, Objective
from .contrastive import ContrastiveObjective, FeatureQueue
from .masked_image import MaskedImageObjective
from .masked_language import MaskedLanguageObjective
from .matching import MatchingObjective
from .prefix_language import PrefixLanguageObjective
from .text_assignment import TextAssignmentObjective

__all__ = [
    'ContrastiveObjective',
    'FeatureQueue',
    'ImageTextPairs',
    'MaskedImageObjective',
    'MaskedLanguageObjective',
    'MatchingObjective',
    'Objective',
    'PrefixLanguageObjective',
    'TextAssignmentObjective',
]
