from .data_preprocessor import VQADataPreprocessor
from .fusion import (ConcatFusion, CoTokenizationFusion, CrossAttentionFusion,
                     JointAdaptiveFusion, PerceiverFusion, SkipConnectedFusion,
                     TextOnlyFusion)
from .heads import AnswerClassificationHead, AnswerGenerationHead
from .language import TextEncoder
from .vqa import VisualQuestionAnswering

__all__ = [
    'AnswerClassificationHead', 'AnswerGenerationHead', 'CoTokenizationFusion',
    'ConcatFusion', 'CrossAttentionFusion', 'JointAdaptiveFusion',
    'PerceiverFusion', 'SkipConnectedFusion', 'TextEncoder', 'TextOnlyFusion',
    'VQADataPreprocessor', 'VisualQuestionAnswering'
]
