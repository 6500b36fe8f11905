from .rescale_maps import RescaleMaps

__all__ = ['RescaleMaps']
