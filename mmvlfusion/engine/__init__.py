from .atomic_backend import AtomicLocalBackend
from .hooks import (
    ClassCountHook,
    DataFilesHook,
    ExactResumeHook,
    FeatureMapsHook,
    ImageFilesHook,
    InitialWeightsHook,
    QuestionVisualizationHook,
    TaskMixtureHook,
)
from .optimizers import CPUAmpOptimWrapper, MatrixDecayOptimWrapperConstructor
from .sharded_strategy import ShardedStrategy

__all__ = [
    'AtomicLocalBackend',
    'CPUAmpOptimWrapper',
    'ClassCountHook',
    'DataFilesHook',
    'ExactResumeHook',
    'FeatureMapsHook',
    'ImageFilesHook',
    'InitialWeightsHook',
    'MatrixDecayOptimWrapperConstructor',
    'QuestionVisualizationHook',
    'ShardedStrategy',
    'TaskMixtureHook',
]
