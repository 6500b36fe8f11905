"""Base class of the reducers of image tokens.

Notation of shapes:

    ====  ==================================================
    B     batch size
    h w   height and width of a feature map
    n     side of the grid of reduced tokens
    N     tokens after the reduction
    L     tokens of a text
    C     channels of the feature map
    E     channels of a reduced token
    ====  ==================================================
"""

import math
from typing import Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule

from mmvlfusion.utils.checks import check_number


class TokenReducer(BaseModule):
    """Base class of the modules that make few tokens of an image, for the
    ``reducer`` of a vision-language model.

    Args:
        in_channels (int): Channels C of the feature map.
        out_channels (int, optional): Channels E of the tokens. Defaults to
            None, C.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to a
            truncated normal of standard deviation 0.02 for linear layers.

    Raises:
        ValueError: If a number of channels is below 1.
    """

    #: Whether the tokens depend on the text.
    reads_text = False
    #: Number of feature maps that are read, those of the last blocks.
    num_maps = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: Optional[int] = None,
        init_cfg: Optional[dict] = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        check_number('in_channels', in_channels, 1, integer=True)
        if out_channels is not None:
            check_number('out_channels', out_channels, 1, integer=True)
        self.in_channels = in_channels
        self.out_channels = out_channels or in_channels


class MapReducer(TokenReducer):
    """Base class of the reducers that read the image only.

    Args:
        **kwargs: See ``TokenReducer``.
    """

    def grid(self, map_size: Tuple[int, int]) -> Optional[Tuple[int, int]]:
        """Compute the grid whose cells are the tokens.

        The model adds the positions of these cells to the tokens.

        Args:
            map_size (tuple[int, int]): Height and width (h, w) of the map.

        Returns:
            tuple[int, int] | None: Rows and columns. None if the tokens are not
            cells; the model then adds positions to the feature map.
        """
        return None

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Reduce feature maps to tokens.

        Args:
            maps (Sequence[torch.Tensor]): ``num_maps`` maps, (B, C, h, w) each.

        Returns:
            torch.Tensor: Shape (B, N, E).

        Raises:
            ValueError: If the map is too small for N tokens.
        """
        raise NotImplementedError


def grid_side(num_tokens: int) -> int:
    """Compute the side of a square grid of tokens.

    Args:
        num_tokens (int): Number N of tokens.

    Returns:
        int: The side n.

    Raises:
        ValueError: If N is not a square number.
    """
    check_number('num_tokens', num_tokens, 1, integer=True)
    side = math.isqrt(num_tokens)
    if side**2 != num_tokens:
        raise ValueError(
            f'num_tokens={num_tokens} is not a square number, but the tokens are '
            f'the cells of a square grid: use {side**2} or {(side + 1) ** 2}.'
        )
    return side


def check_cells(map_size: Tuple[int, int], side: int, exact: bool) -> None:
    """Check that a map has enough positions for a grid of cells.

    Args:
        map_size (tuple[int, int]): Height and width (h, w) of the map.
        side (int): Side n of the grid.
        exact (bool): Whether all cells must have the same size.

    Raises:
        ValueError: If they do not fit.
    """
    height, width = map_size
    if min(height, width) < side:
        raise ValueError(
            f'A map of {height} x {width} has fewer positions than the {side} x '
            f'{side} reduced tokens: reduce num_tokens, or use larger images.'
        )
    if exact and (height % side or width % side):
        raise ValueError(
            f'A map of {height} x {width} cannot be split into {side} x {side} equal '
            'cells: choose num_tokens or the image size so that it can.'
        )
