from .hooks import (ClassCountHook, DataFilesHook, ExactResumeHook,
                    FeatureMapsHook, InitialWeightsHook,
                    QuestionVisualizationHook, TaskMixtureHook)
from .optimizers import CPUAmpOptimWrapper

__all__ = [
    'CPUAmpOptimWrapper', 'ClassCountHook', 'DataFilesHook', 'ExactResumeHook',
    'FeatureMapsHook', 'InitialWeightsHook', 'QuestionVisualizationHook',
    'TaskMixtureHook'
]
