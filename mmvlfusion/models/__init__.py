from .backbones import TNT
from .low_rank import (LowRank, PELADistiller, PELASwinTransformer,
                       PELAVisionTransformer)
from .multimodal import (CoTokenizationFusion, ConcatFusion,
                         CrossAttentionFusion, JointAdaptiveFusion,
                         PerceiverFusion)
from .necks import RescaleMaps

__all__ = [
    'CoTokenizationFusion', 'ConcatFusion', 'CrossAttentionFusion',
    'JointAdaptiveFusion', 'LowRank', 'PELADistiller', 'PELASwinTransformer',
    'PELAVisionTransformer', 'PerceiverFusion', 'RescaleMaps', 'TNT'
]

try:
    from .decode_heads import Trans2SegHead  # noqa: F401
except ModuleNotFoundError as error:
    # Users of mmdet or mmpretrain alone need no decode heads.
    if error.name != 'mmseg':
        raise
else:
    __all__.append('Trans2SegHead')
