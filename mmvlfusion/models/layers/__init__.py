from .attention import CrossAttention, SelfAttention, TransformerBlock
from .position import grid_positions, resize_grid_tokens
from .squeeze_excitation import SqueezeExcitation
from .words import WordEmbed, WordsToSentence

__all__ = [
    'CrossAttention', 'SelfAttention', 'SqueezeExcitation',
    'TransformerBlock', 'WordEmbed', 'WordsToSentence', 'grid_positions',
    'resize_grid_tokens'
]
