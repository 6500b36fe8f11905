from .attention_score import AttentionScoreLoss
from .base import DistillationLoss
from .feature import FeatureLoss
from .hidden_state import HiddenStateLoss
from .mask_align import MaskAlignLoss
from .prediction import PredictionLoss

__all__ = [
    'AttentionScoreLoss',
    'DistillationLoss',
    'FeatureLoss',
    'HiddenStateLoss',
    'MaskAlignLoss',
    'PredictionLoss',
]
