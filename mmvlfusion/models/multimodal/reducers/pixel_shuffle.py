"""Concatenation of neighbouring image tokens."""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import MapReducer


@MODELS.register_module()
class PixelShuffleReducer(MapReducer):
    """A linear layer over the s x s concatenated tokens of each cell, known as
    pixel shuffle in vision-language models such as Idefics3 (arXiv 2408.12637).

    Args:
        in_channels (int): Channels C of the feature map.
        cell_size (int): Side s of a cell. N = (h / s) * (w / s).
        out_channels (int, optional): See ``TokenReducer``.

    Raises:
        ValueError: If ``cell_size`` is below 1.
    """

    def __init__(
        self, in_channels: int, cell_size: int, out_channels: Optional[int] = None
    ) -> None:
        super().__init__(in_channels, out_channels)
        check_number('cell_size', cell_size, 1, integer=True)
        self.cell_size = cell_size
        self.proj = nn.Linear(in_channels * cell_size**2, self.out_channels, bias=False)

    def grid(self, map_size: Tuple[int, int]) -> Tuple[int, int]:
        """See ``MapReducer.grid``."""
        return map_size[0] // self.cell_size, map_size[1] // self.cell_size

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``MapReducer.forward``.

        Raises:
            ValueError: If s does not divide the sides of the map.
        """
        height, width = maps[-1].shape[2:]
        size = self.cell_size
        if height % size or width % size:
            raise ValueError(
                f'cell_size={size} does not divide the map of {height} x {width}: '
                'choose another cell_size or image size.'
            )
        # (B, C * s * s, N) -> (B, N, C * s * s)
        cells = F.unfold(maps[-1], size, stride=size).mT
        return self.proj(cells)
