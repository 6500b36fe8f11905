from .attention import (CrossAttention, CrossAttentionBlock, SelfAttention,
                        TransformerBlock)
from .position import grid_positions, resize_grid_tokens
from .squeeze_excitation import SqueezeExcitation
from .word_attention import WordAttention
from .words import WordEmbed, WordsToSentence

__all__ = [
    'CrossAttention', 'CrossAttentionBlock', 'SelfAttention',
    'SqueezeExcitation', 'TransformerBlock', 'WordAttention', 'WordEmbed',
    'WordsToSentence', 'grid_positions', 'resize_grid_tokens'
]
