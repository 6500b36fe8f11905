"""Layers that at least two methods share."""

from .attention import (
    CrossAttention,
    CrossAttentionBlock,
    SelfAttention,
    TransformerBlock,
    mask_of_keys,
)
from .position import grid_positions, resize_grid_tokens, resize_loaded_positions

__all__ = [
    'CrossAttention',
    'CrossAttentionBlock',
    'SelfAttention',
    'TransformerBlock',
    'grid_positions',
    'mask_of_keys',
    'resize_grid_tokens',
    'resize_loaded_positions',
]
