from .hooks import ClassCountHook, ExactResumeHook, InitialWeightsHook
from .optimizers import CPUAmpOptimWrapper

__all__ = [
    'CPUAmpOptimWrapper', 'ClassCountHook', 'ExactResumeHook',
    'InitialWeightsHook'
]
