"""Queries that attend to their own region of the image."""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import MapReducer, check_cells, grid_side

# As in the authors' code.
NORM_EPS = 1e-6


@MODELS.register_module()
class RegionQueryReducer(MapReducer):
    """TokenPacker (arXiv 2407.02392): the query of each cell is the resized map,
    and attends to the s x s positions of the cell, whose keys and values come
    from the maps of several blocks.

    There is no residual connection to the queries. With one map it needs a
    backbone with one output.

    Args:
        in_channels (int): Channels C of each feature map.
        num_tokens (int): Number N = n^2 of tokens. n must divide the sides of
            the map.
        num_maps (int): Number of the last maps of the backbone that are read;
            the published model reads four, of the blocks 12, 16, 22 and 23 of
            24. Defaults to 1.
        num_heads (int): Number of attention heads. Defaults to 8.
        out_channels (int, optional): See ``TokenReducer``.

    Raises:
        ValueError: If N is not a square number, ``num_heads`` does not divide
            C, or ``num_maps`` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        num_maps: int = 1,
        num_heads: int = 8,
        out_channels: Optional[int] = None,
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_number('num_maps', num_maps, 1, integer=True)
        check_number('num_heads', num_heads, 1, integer=True)
        if in_channels % num_heads:
            raise ValueError(
                f'num_heads={num_heads} does not divide in_channels={in_channels}: '
                'choose a divisor.'
            )
        self.side = grid_side(num_tokens)
        self.num_maps = num_maps
        self.query = nn.Sequential(
            nn.Linear(in_channels, in_channels, bias=False),
            nn.LayerNorm(in_channels, eps=NORM_EPS),
        )
        self.key = self._make_memory()
        self.value = self._make_memory()
        self.attn = nn.MultiheadAttention(in_channels, num_heads, batch_first=True)
        self.proj = nn.Sequential(
            nn.Linear(in_channels, self.out_channels),
            nn.GELU(),
            nn.Linear(self.out_channels, self.out_channels),
        )

    def _make_memory(self) -> nn.Sequential:
        """Make the network of the keys or the values."""
        channels = self.in_channels
        return nn.Sequential(
            nn.Linear(self.num_maps * channels, channels),
            nn.GELU(),
            nn.Linear(channels, channels),
            nn.LayerNorm(channels, eps=NORM_EPS),
        )

    def grid(self, map_size: Tuple[int, int]) -> Tuple[int, int]:
        """See ``MapReducer.grid``."""
        return self.side, self.side

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``MapReducer.forward``."""
        height, width = maps[-1].shape[2:]
        check_cells((height, width), self.side, exact=True)
        cell = (height // self.side, width // self.side)
        # (B, C, n, n) -> (B * N, 1, C)
        query = F.interpolate(
            maps[-1], (self.side, self.side), mode='bilinear', align_corners=False
        )
        query = self.query(query.flatten(2).mT).flatten(0, 1)[:, None]
        # (B, maps * C, h, w) -> (B, N, cell, maps * C) -> (B * N, cell, maps * C)
        memory = F.unfold(torch.cat(list(maps), dim=1), cell, stride=cell)
        memory = memory.mT.unflatten(2, (-1, cell[0] * cell[1])).mT.flatten(0, 1)
        tokens, _ = self.attn(
            query, self.key(memory), self.value(memory), need_weights=False
        )
        # (B * N, 1, C) -> (B, N, E)
        return self.proj(tokens.unflatten(0, (-1, self.side**2)).squeeze(2))
