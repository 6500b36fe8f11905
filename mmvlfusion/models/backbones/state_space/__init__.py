from .mixer import StateSpaceMixer
from .vision_ssd import VisionSSD
from .vssd import VSSD

__all__ = ['StateSpaceMixer', 'VSSD', 'VisionSSD']
