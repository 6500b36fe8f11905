"""Perceiver resampler of image tokens."""

from typing import Optional, Sequence

import torch
import torch.nn as nn
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ...layers import CrossAttention
from .base import MapReducer


class ResamplerLayer(nn.Module):
    """Cross-attention from latents to [tokens; latents], and a feed-forward
    network, both pre-norm and residual.

    Args:
        embed_dims (int): Channels C.
        num_heads (int): Number of attention heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.norm_latents = nn.LayerNorm(embed_dims)
        self.norm_tokens = nn.LayerNorm(embed_dims)
        self.attn = CrossAttention(embed_dims, num_heads)
        self.norm = nn.LayerNorm(embed_dims)
        self.ffn = FFN(
            embed_dims, 4 * embed_dims, act_cfg=dict(type='GELU'), add_identity=False
        )

    def forward(self, latents: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Update the latents.

        Args:
            latents (torch.Tensor): Shape (B, N, C).
            tokens (torch.Tensor): Shape (B, h * w, C).

        Returns:
            torch.Tensor: Shape (B, N, C).
        """
        queries = self.norm_latents(latents)
        memory = torch.cat([self.norm_tokens(tokens), queries], dim=1)
        latents = latents + self.attn(queries, memory)
        return latents + self.ffn(self.norm(latents))


@MODELS.register_module()
class ResamplerReducer(MapReducer):
    """The Perceiver resampler of Flamingo (arXiv 2204.14198, Section 2.1).

    Args:
        in_channels (int): Channels C of the feature map.
        num_tokens (int): Number N of latents.
        num_layers (int): Number of layers. Defaults to 1.
        num_heads (int): Number of attention heads. Defaults to 12.
        out_channels (int, optional): See ``TokenReducer``; a linear layer
            follows if it is not C.

    Raises:
        ValueError: If ``num_heads`` does not divide C, or a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        num_layers: int = 1,
        num_heads: int = 12,
        out_channels: Optional[int] = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_number('num_tokens', num_tokens, 1, integer=True)
        check_number('num_layers', num_layers, 1, integer=True)
        self.latents = nn.Parameter(torch.empty(1, num_tokens, in_channels))
        nn.init.normal_(self.latents)
        self.layers = ModuleList(
            ResamplerLayer(in_channels, num_heads) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(in_channels)
        self.proj = (
            nn.Identity()
            if self.out_channels == in_channels
            else nn.Linear(in_channels, self.out_channels)
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``MapReducer.forward``."""
        tokens = maps[-1].flatten(2).mT
        latents = self.latents.expand(len(tokens), -1, -1)
        for layer in self.layers:
            latents = layer(latents, tokens)
        return self.proj(self.norm(latents))
