from .average_pool import AveragePoolReducer
from .base import MapReducer, TokenReducer
from .pixel_shuffle import PixelShuffleReducer
from .q_former import QFormerReducer
from .random_tokens import RandomTokenReducer
from .region_queries import RegionQueryReducer
from .resampler import ResamplerReducer

__all__ = [
    'AveragePoolReducer',
    'MapReducer',
    'PixelShuffleReducer',
    'QFormerReducer',
    'RandomTokenReducer',
    'RegionQueryReducer',
    'ResamplerReducer',
    'TokenReducer',
]
