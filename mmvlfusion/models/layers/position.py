"""Position embeddings on a grid of tokens."""

import math
from typing import Dict, Tuple

import torch
import torch.nn.functional as F

from mmvlfusion.utils.torch_versions import is_symbolic


def resize_grid_tokens(
    tokens: torch.Tensor,
    src_grid: Tuple[int, int],
    dst_grid: Tuple[int, int],
    num_extra_tokens: int = 0,
) -> torch.Tensor:
    """Resize position embeddings of a grid by bicubic interpolation.

    Args:
        tokens (torch.Tensor): Shape (1, E + h * w, D): E extra tokens, such
            as the class token, then the grid row by row.
        src_grid (tuple[int, int]): Rows and columns (h, w) of ``tokens``.
        dst_grid (tuple[int, int]): Rows and columns (h', w') of the result.
        num_extra_tokens (int): Number E of extra tokens, which are returned
            unchanged. Defaults to 0.

    Returns:
        torch.Tensor: Shape (1, E + h' * w', D). ``tokens`` itself if the two
        grids are equal.
    """
    # A graph for any size always interpolates, which keeps an equal grid.
    if not is_symbolic(*dst_grid) and tuple(src_grid) == tuple(dst_grid):
        return tokens
    extra, grid = tokens[:, :num_extra_tokens], tokens[:, num_extra_tokens:]
    # (1, h * w, D) -> (1, D, h, w)
    grid = grid.unflatten(1, src_grid).permute(0, 3, 1, 2)
    grid = F.interpolate(
        grid.float(), size=dst_grid, mode='bicubic', align_corners=False
    )
    grid = grid.to(tokens.dtype).flatten(2).transpose(1, 2)
    return torch.cat([extra, grid], dim=1)


def resize_loaded_positions(
    state_dict: Dict[str, torch.Tensor],
    key: str,
    grid: Tuple[int, int],
    num_extra_tokens: int = 0,
) -> None:
    """Resize position embeddings of a checkpoint that were trained at another
    size.

    Args:
        state_dict (dict[str, torch.Tensor]): The checkpoint's weights, changed
            in place.
        key (str): Name of the position embeddings, which may be missing.
        grid (tuple[int, int]): Rows and columns (h, w) of the model.
        num_extra_tokens (int): See ``resize_grid_tokens``. Defaults to 0.
    """
    if key not in state_dict:
        return
    num_cells = state_dict[key].shape[1] - num_extra_tokens
    if num_cells == math.prod(grid):
        return
    stored = _guess_grid(num_cells, grid)
    state_dict[key] = resize_grid_tokens(
        state_dict[key], stored, grid, num_extra_tokens
    )


def _guess_grid(num_cells: int, like: Tuple[int, int]) -> Tuple[int, int]:
    """The grid of a checkpoint, which only stores its number of cells: a
    square, or else the shape whose ratio is nearest to that of ``like``."""
    side = math.isqrt(num_cells)
    if side**2 == num_cells:
        return side, side
    rows = [r for r in range(1, num_cells + 1) if num_cells % r == 0]
    ratio = math.log(like[0] / like[1])
    best = min(rows, key=lambda r: abs(math.log(r * r / num_cells) - ratio))
    return best, num_cells // best


def grid_positions(grid: Tuple[int, int], embed_dims: int) -> torch.Tensor:
    """Compute sinusoidal position embeddings of the cells of a grid.

    One half of the channels encodes the row, the other the column. The position
    of a cell is that of its centre relative to the side of the grid, so maps of
    different sizes have comparable embeddings.

    Args:
        grid (tuple[int, int]): Rows and columns (h, w).
        embed_dims (int): Channels D.

    Returns:
        torch.Tensor: Shape (h * w, D). If four does not divide D, the remaining
        channels are zero.
    """
    height, width = grid
    num_frequencies = embed_dims // 4
    rows = _sines(height, num_frequencies)[:, None].expand(-1, width, -1)
    columns = _sines(width, num_frequencies)[None].expand(height, -1, -1)
    # (h, w, 4 * frequencies) -> (h * w, 4 * frequencies)
    cells = torch.cat([rows, columns], dim=2).flatten(0, 1)
    return F.pad(cells, (0, embed_dims - 4 * num_frequencies))


def _sines(size: int, num_frequencies: int) -> torch.Tensor:
    """Sines and cosines of the cells of a side, (size, 2 * frequencies)."""
    # From a quarter of a period over the side to four periods.
    frequencies = torch.logspace(-1, 3, num_frequencies, base=2.0) * torch.pi
    angles = (torch.arange(size) + 0.5)[:, None] / size * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
