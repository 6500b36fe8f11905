from .captioning import ImageCaptioning
from .data_preprocessor import ImageTextDataPreprocessor
from .fusion import (
    ConcatFusion,
    CoTokenizationFusion,
    CrossAttentionFusion,
    ImageOnlyFusion,
    JointAdaptiveFusion,
    PerceiverFusion,
    SkipConnectedFusion,
    TextOnlyFusion,
)
from .grounding import VisualGrounding
from .heads import AnswerClassificationHead, BoxGenerationHead, TextGenerationHead
from .objectives import (
    ContrastiveObjective,
    MaskedImageObjective,
    MaskedLanguageObjective,
    MatchingObjective,
    PrefixLanguageObjective,
)
from .pretraining import VisionLanguagePretraining
from .reducers import (
    AveragePoolReducer,
    PixelShuffleReducer,
    QFormerReducer,
    RandomTokenReducer,
    RegionQueryReducer,
    ResamplerReducer,
)
from .retrieval import ImageTextRetrieval
from .text_encoder import TextEncoder
from .vqa import VisualQuestionAnswering

__all__ = [
    'AnswerClassificationHead',
    'AveragePoolReducer',
    'BoxGenerationHead',
    'CoTokenizationFusion',
    'ConcatFusion',
    'ContrastiveObjective',
    'CrossAttentionFusion',
    'ImageCaptioning',
    'ImageOnlyFusion',
    'ImageTextDataPreprocessor',
    'ImageTextRetrieval',
    'JointAdaptiveFusion',
    'MaskedImageObjective',
    'MaskedLanguageObjective',
    'MatchingObjective',
    'PerceiverFusion',
    'PixelShuffleReducer',
    'PrefixLanguageObjective',
    'QFormerReducer',
    'RandomTokenReducer',
    'RegionQueryReducer',
    'ResamplerReducer',
    'SkipConnectedFusion',
    'TextEncoder',
    'TextGenerationHead',
    'TextOnlyFusion',
    'VisionLanguagePretraining',
    'VisualGrounding',
    'VisualQuestionAnswering',
]
