from .backbones import TNT
from .low_rank import (LowRank, PELADistiller, PELASwinTransformer,
                       PELAVisionTransformer)
from .multimodal import (AnswerClassificationHead, BoxGenerationHead,
                         ConcatFusion, ContrastiveObjective,
                         CoTokenizationFusion, CrossAttentionFusion,
                         ImageCaptioning, ImageOnlyFusion, ImageTextRetrieval,
                         JointAdaptiveFusion, MaskedImageObjective,
                         MaskedLanguageObjective, MatchingObjective,
                         PerceiverFusion, PrefixLanguageObjective,
                         SkipConnectedFusion, TextEncoder, TextGenerationHead,
                         TextOnlyFusion, VisionLanguagePretraining,
                         VisualGrounding, VisualQuestionAnswering,
                         VQADataPreprocessor)
from .necks import RescaleMaps

__all__ = [
    'AnswerClassificationHead', 'BoxGenerationHead', 'CoTokenizationFusion',
    'ConcatFusion', 'ContrastiveObjective', 'CrossAttentionFusion',
    'ImageCaptioning', 'ImageOnlyFusion', 'ImageTextRetrieval',
    'JointAdaptiveFusion', 'LowRank', 'MaskedImageObjective',
    'MaskedLanguageObjective', 'MatchingObjective', 'PELADistiller',
    'PELASwinTransformer', 'PELAVisionTransformer', 'PerceiverFusion',
    'PrefixLanguageObjective', 'RescaleMaps', 'SkipConnectedFusion', 'TNT',
    'TextEncoder', 'TextGenerationHead', 'TextOnlyFusion',
    'VQADataPreprocessor', 'VisionLanguagePretraining', 'VisualGrounding',
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
