from .distiller import FeatureDistiller
from .losses import (
    AttentionScoreLoss,
    DistillationLoss,
    FeatureLoss,
    HiddenStateLoss,
    MaskAlignLoss,
    PredictionLoss,
)

__all__ = [
    'AttentionScoreLoss',
    'DistillationLoss',
    'FeatureDistiller',
    'FeatureLoss',
    'HiddenStateLoss',
    'MaskAlignLoss',
    'PredictionLoss',
]
