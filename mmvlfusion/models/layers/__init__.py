from .attention import CrossAttention, SelfAttention, TransformerBlock
from .position import resize_grid_tokens
from .squeeze_excitation import SqueezeExcitation
from .words import WordEmbed, WordsToSentence

__all__ = [
    'CrossAttention', 'SelfAttention', 'SqueezeExcitation',
    'TransformerBlock', 'WordEmbed', 'WordsToSentence', 'resize_grid_tokens'
]
