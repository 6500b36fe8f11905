from .fusion import (CoTokenizationFusion, ConcatFusion, CrossAttentionFusion,
                     JointAdaptiveFusion, PerceiverFusion)

__all__ = [
    'CoTokenizationFusion', 'ConcatFusion', 'CrossAttentionFusion',
    'JointAdaptiveFusion', 'PerceiverFusion'
]
