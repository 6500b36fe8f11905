"""Average pooling of image tokens."""

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F

from mmvlfusion.registry import MODELS

from .base import MapReducer, check_cells, grid_side


@MODELS.register_module()
class AveragePoolReducer(MapReducer):
    """The mean of each cell of an n x n grid, as in DeCo (arXiv 2405.20985).

    It has no parameters; the fusion projects the means. Cells overlap where n
    does not divide the side of the map.

    Args:
        in_channels (int): Channels C of the feature map.
        num_tokens (int): Number N = n^2 of tokens.

    Raises:
        ValueError: If N is not a square number.
    """

    def __init__(self, in_channels: int, num_tokens: int) -> None:
        super().__init__(in_channels, init_cfg=None)
        self.side = grid_side(num_tokens)

    def grid(self, map_size: Tuple[int, int]) -> Tuple[int, int]:
        """See ``MapReducer.grid``."""
        return self.side, self.side

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``MapReducer.forward``."""
        check_cells(maps[-1].shape[2:], self.side, exact=False)
        # (B, C, n, n) -> (B, N, C)
        return F.adaptive_avg_pool2d(maps[-1], self.side).flatten(2).mT
