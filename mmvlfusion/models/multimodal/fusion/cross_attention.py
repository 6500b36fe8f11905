"""Text that attends to the image in every layer."""
from typing import Optional

import torch
import torch.nn as nn
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS

from ...layers import CrossAttention, TransformerBlock
from .base import Fusion, FusionOutput, full_mask


class CrossAttentionLayer(nn.Module):
    """Self-attention of the text, its attention to the image, and the
    feed-forward net.

    Args:
        block (TransformerBlock): Holds the self-attention and the net.
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Attention heads.
        drop_rate (float): Dropout after the projection.
    """

    def __init__(self, block: TransformerBlock, embed_dims: int,
                 num_heads: int, drop_rate: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims)
        self.cross_attn = CrossAttention(
            embed_dims, num_heads, drop_rate=drop_rate)
        self.block = block

    def forward(self, text: torch.Tensor, image: torch.Tensor,
                text_mask: Optional[torch.Tensor],
                image_mask: Optional[torch.Tensor]) -> torch.Tensor:
        """Update the text (B, L, D) from the image (B, M, D)."""
        text = text + self.cross_attn(self.norm(text), image, image_mask)
        return self.block(text, text_mask)


@MODELS.register_module()
class CrossAttentionFusion(Fusion):
    """The text attends to the image in every layer, and the image stays as it
    is, as in the fusion encoder of ALBEF (arXiv 2107.07651). Here each layer
    attends to the image first, then within the text.

    Args:
        **kwargs: See ``Fusion``.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.layers = ModuleList(
            CrossAttentionLayer(block, self.embed_dims, self.num_heads,
                                self.drop_rate)
            for block in self.make_layers(self.num_layers))
        self.norm = nn.LayerNorm(self.embed_dims)

    def fuse(self, text: torch.Tensor, image: torch.Tensor,
             text_mask: Optional[torch.Tensor],
             image_mask: Optional[torch.Tensor]) -> FusionOutput:
        """See ``Fusion.fuse``; the tokens are those of the text."""
        for layer in self.layers:
            text = self.run(layer, text, image, text_mask, image_mask)
        text = self.norm(text)
        return FusionOutput(text, full_mask(text, text_mask), text, image)
