from .state_space import VSSD, VisionSSD
from .tnt import TNT

__all__ = ['TNT', 'VSSD', 'VisionSSD']
