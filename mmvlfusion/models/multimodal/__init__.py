from .data_preprocessor import VQADataPreprocessor
from .fusion import (ConcatFusion, CoTokenizationFusion, CrossAttentionFusion,
                     JointAdaptiveFusion, PerceiverFusion, TextOnlyFusion)
from .heads import AnswerClassificationHead, AnswerGenerationHead
from .language import TextEncoder
from .vqa import VisualQuestionAnswering

__all__ = [
    'AnswerClassificationHead', 'AnswerGenerationHead', 'CoTokenizationFusion',
    'ConcatFusion', 'CrossAttentionFusion', 'JointAdaptiveFusion',
    'PerceiverFusion', 'TextEncoder', 'TextOnlyFusion', 'VQADataPreprocessor',
    'VisualQuestionAnswering'
]
