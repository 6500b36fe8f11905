"""Position embeddings on a grid of tokens."""

from typing import Tuple

import torch
import torch.nn.functional as F


def resize_grid_tokens(
    tokens: torch.Tensor,
    src_grid: Tuple[int, int],
    dst_grid: Tuple[int, int],
    num_extra_tokens: int = 0,
) -> torch.Tensor:
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
        grid.float(), size=dst_grid, mode='bicubic', align_corners=False
    )
    grid = grid.to(tokens.dtype).flatten(2).transpose(1, 2)
    return torch.cat([extra, grid], dim=1)


def grid_positions(grid: Tuple[int, int], embed_dims: int) -> torch.Tensor:
    """Fixed embeddings of the cells of a grid: sines and cosines of the row in
    one half of the channels and of the column in the other.

    The place of a cell is its centre's, relative to the side of the grid, so
    that maps of several sizes share their embeddings.

    Args:
        grid (tuple[int, int]): Rows and columns (h, w).
        embed_dims (int): Channels D.

    Returns:
        torch.Tensor: Shape (h * w, D); what a division of D by four leaves
        over is zero.
    """
    wavelengths = embed_dims // 4
    # From a quarter of a turn over the whole grid to four turns.
    turns = torch.logspace(-1, 3, wavelengths, base=2.0) * torch.pi
    halves = []
    for size in grid:
        angles = (torch.arange(size) + 0.5)[:, None] / size * turns
        halves.append(torch.cat([angles.sin(), angles.cos()], dim=1))
    rows, columns = halves
    cells = torch.cat(
        [rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)],
        dim=2,
    )
    return F.pad(cells.flatten(0, 1), (0, embed_dims - 4 * wavelengths))
