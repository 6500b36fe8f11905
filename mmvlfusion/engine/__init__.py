from .atomic_backend import AtomicLocalBackend
from .hooks import (
    AdapterHook,
    ClassCountHook,
    DataFilesHook,
    ExactResumeHook,
    FeatureMapsHook,
    ImageFilesHook,
    InitialWeightsHook,
    QuestionVisualizationHook,
    StepCheckpointHook,
    TaskMixtureHook,
)
from .optimizers import CPUAmpOptimWrapper, MatrixDecayOptimWrapperConstructor
from .sharded_strategy import ShardedStrategy

__all__ = [
    'AdapterHook',
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
    'StepCheckpointHook',
    'TaskMixtureHook',
]
