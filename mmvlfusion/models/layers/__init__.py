from .attention import SelfAttention, TransformerBlock
from .position import resize_grid_tokens
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'SelfAttention', 'SqueezeExcitation', 'TransformerBlock',
    'resize_grid_tokens'
]
