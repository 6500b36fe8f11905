from .backbones import TNT
from .low_rank import (LowRank, PELADistiller, PELASwinTransformer,
                       PELAVisionTransformer)
from .multimodal import (AnswerClassificationHead, AnswerGenerationHead,
                         ConcatFusion, CoTokenizationFusion,
                         CrossAttentionFusion, JointAdaptiveFusion,
                         PerceiverFusion, SkipConnectedFusion, TextEncoder,
                         TextOnlyFusion, VisualQuestionAnswering,
                         VQADataPreprocessor)
from .necks import RescaleMaps

__all__ = [
    'AnswerClassificationHead', 'AnswerGenerationHead', 'CoTokenizationFusion',
    'ConcatFusion', 'CrossAttentionFusion', 'JointAdaptiveFusion', 'LowRank',
    'PELADistiller', 'PELASwinTransformer', 'PELAVisionTransformer',
    'PerceiverFusion', 'RescaleMaps', 'SkipConnectedFusion', 'TNT',
    'TextEncoder', 'TextOnlyFusion', 'VQADataPreprocessor',
    'VisualQuestionAnswering'
]

try:
    from .decode_heads import Trans2SegHead  # noqa: F401
except ModuleNotFoundError as error:
    # Users of mmdet or mmpretrain alone need no decode heads.
    if error.name != 'mmseg':
        raise
else:
    __all__.append('Trans2SegHead')
