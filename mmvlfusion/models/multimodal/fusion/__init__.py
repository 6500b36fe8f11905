from .albef import AlbefFusion
from .base import (
    Fusion,
    FusionOutput,
    joint_mask,
    mask_or_ones,
    masked_mean,
    select_rows,
)
from .co_tokenization import CoTokenizationFusion
from .concat import ConcatFusion
from .cross_attention import CrossAttentionFusion
from .image_only import ImageOnlyFusion
from .joint_adaptive import JointAdaptiveFusion
from .perceiver import PerceiverFusion
from .skip_connected import SkipConnectedFusion
from .text_only import TextOnlyFusion

__all__ = [
    'AlbefFusion',
    'CoTokenizationFusion',
    'ConcatFusion',
    'CrossAttentionFusion',
    'Fusion',
    'FusionOutput',
    'ImageOnlyFusion',
    'JointAdaptiveFusion',
    'PerceiverFusion',
    'SkipConnectedFusion',
    'TextOnlyFusion',
    'select_rows',
    'mask_or_ones',
    'joint_mask',
    'masked_mean',
]
