from .captioning import ImageCaptioning
from .data_preprocessor import ImageTextDataPreprocessor
from .fusion import (
    AlbefFusion,
    ConcatFusion,
    CoTokenizationFusion,
    CrossAttentionFusion,
    ImageOnlyFusion,
    JointAdaptiveFusion,
    PerceiverFusion,
    SkipConnectedFusion,
    TextOnlyFusion,
)
from .grad_cam_grounding import GradCAMGrounding
from .grounding import VisualGrounding
from .heads import (
    AnswerClassificationHead,
    BoxGenerationHead,
    ClassTokenHead,
    TextGenerationHead,
)
from .objectives import (
    ContrastiveObjective,
    MaskedImageObjective,
    MaskedLanguageObjective,
    MatchingObjective,
    PrefixLanguageObjective,
    TextAssignmentObjective,
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
    'AlbefFusion',
    'AnswerClassificationHead',
    'AveragePoolReducer',
    'BoxGenerationHead',
    'ClassTokenHead',
    'CoTokenizationFusion',
    'ConcatFusion',
    'ContrastiveObjective',
    'CrossAttentionFusion',
    'GradCAMGrounding',
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
    'TextAssignmentObjective',
    'TextEncoder',
    'TextGenerationHead',
    'TextOnlyFusion',
    'VisionLanguagePretraining',
    'VisualGrounding',
    'VisualQuestionAnswering',
]
