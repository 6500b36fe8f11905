from .hooks import ClassCountHook, ExactResumeHook
from .optimizers import CPUAmpOptimWrapper

__all__ = ['CPUAmpOptimWrapper', 'ClassCountHook', 'ExactResumeHook']
