"""Position embeddings on a grid of tokens."""
from typing import Tuple

import torch
import torch.nn.functional as F


def resize_grid_tokens(tokens: torch.Tensor,
                       src_grid: Tuple[int, int],
                       dst_grid: Tuple[int, int],
                       num_extra_tokens: int = 0) -> torch.Tensor:
    """Resample embeddings that lie on a grid, by bicubic interpolation.

    Args:
        tokens (torch.Tensor): Shape (1, E + h * w, D): E extra tokens, such
            as the class token, then the grid row by row.
        src_grid (tuple[int, int]): Rows and columns (h, w) of ``tokens``.
        dst_grid (tuple[int, int]): Rows and columns (h', w') wanted.
        num_extra_tokens (int): E, the tokens that are kept as they are.
            Defaults to 0.

    Returns:
        torch.Tensor: Shape (1, E + h' * w', D). ``tokens`` itself where the
        two grids agree.
    """
    if tuple(src_grid) == tuple(dst_grid):
        return tokens
    extra, grid = tokens[:, :num_extra_tokens], tokens[:, num_extra_tokens:]
    grid = grid.unflatten(1, src_grid).permute(0, 3, 1, 2)
    grid = F.interpolate(
        grid.float(), size=dst_grid, mode='bicubic', align_corners=False)
    grid = grid.to(tokens.dtype).flatten(2).transpose(1, 2)
    return torch.cat([extra, grid], dim=1)
