"""State-space duality (SSD) as a token mixer of linear cost, by matmuls only.

Notation of shapes:

    ====  =============================================
    B     batch size
    N     tokens
    D     channels of a token
    E     inner channels, ``expand`` * D
    S     states
    P     channels of a head, E / heads
    K     chunks
    Q     tokens of a chunk
    ====  =============================================
"""

import math
from typing import Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmvlfusion.utils.checks import check_choice, check_number

# Initial range of the decay rates and of the step sizes (arXiv 2405.21060).
RATE_RANGE = (1.0, 16.0)
STEP_RANGE = (1e-3, 0.1)


class StateSpaceMixer(nn.Module):
    """Mix tokens by a state-space model, at a cost that is linear in N.

    Both modes project the tokens to a gate z, values x, input and output maps
    b and c, and a step size per head; convolve x, b and c; mix; and project the
    gated result. ``b`` and ``c`` are shared by all heads.

    ================ ============================ ============================
    mode             ``'non_causal'``             ``'causal'``
    ================ ============================ ============================
    source           VSSD (arXiv 2407.18559)      Mamba-2 (arXiv 2405.21060)
    mixing           ``non_causal_ssd``           ``causal_ssd``
    order of tokens  none: a map and extra tokens as given: a token reads those
                                                  before it
    convolution      3 x 3 on the map             4 tokens, causal
    output           LN(y) * z                    RMSNorm(y * SiLU(z))
    ================ ============================ ============================

    Step sizes, decays and norms are computed in float32 at least.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads. It must divide ``expand`` * D.
        bias (bool): Whether the two projections have a bias. Defaults to
            False.
        drop_rate (float): Dropout after the output projection. Defaults to 0.
        expand (float): Ratio of the inner channels to D. Defaults to 2.
        state_dims (int): States S. Defaults to 64.
        mode (str): ``'non_causal'`` or ``'causal'``. Defaults to
            ``'non_causal'``.
        chunk_size (int): Largest number of tokens Q of a chunk of the causal
            mode. It has no effect on the output. Defaults to 256.

    Raises:
        ValueError: If the mode is unknown, a size is out of range, or
            ``num_heads`` does not divide the inner channels.
    """

    MODES = ('non_causal', 'causal')

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        bias: bool = False,
        drop_rate: float = 0.0,
        expand: float = 2,
        state_dims: int = 64,
        mode: str = 'non_causal',
        chunk_size: int = 256,
    ) -> None:
        super().__init__()
        check_choice('mode', mode, self.MODES)
        for name, value in dict(
            num_heads=num_heads, state_dims=state_dims, chunk_size=chunk_size
        ).items():
            check_number(name, value, 1, integer=True)
        check_number('expand', expand, 0, above=True)
        inner_dims = round(expand * embed_dims)
        if inner_dims != expand * embed_dims:
            raise ValueError(
                f'expand={expand} times embed_dims={embed_dims} is '
                f'{expand * embed_dims}, which is not an integer.'
            )
        if inner_dims % num_heads:
            raise ValueError(
                f'The {inner_dims} inner channels (expand={expand} times '
                f'embed_dims={embed_dims}) are not divisible by '
                f'num_heads={num_heads}: choose a number of heads that divides '
                f'{inner_dims}.'
            )
        self.mode = mode
        self.num_heads = num_heads
        self.chunk_size = chunk_size
        # Values, input map and output map.
        self.widths = (inner_dims, state_dims, state_dims)
        conv_dims = sum(self.widths)
        self.in_proj = nn.Linear(
            embed_dims, inner_dims + conv_dims + num_heads, bias=bias
        )
        if mode == 'causal':
            self.conv: nn.Module = nn.Conv1d(
                conv_dims, conv_dims, 4, padding=3, groups=conv_dims
            )
            self.norm: nn.Module = nn.RMSNorm(inner_dims, eps=1e-5)
        else:
            self.conv = nn.Conv2d(conv_dims, conv_dims, 3, padding=1, groups=conv_dims)
            self.norm = nn.LayerNorm(inner_dims)
        self.step_bias = nn.Parameter(torch.empty(num_heads))
        self.log_rate = nn.Parameter(torch.empty(num_heads))
        self.skip = nn.Parameter(torch.ones(num_heads))
        self.out_proj = nn.Linear(inner_dims, embed_dims, bias=bias)
        self.drop = nn.Dropout(drop_rate)
        self._init_recurrence()

    @torch.no_grad()
    def _init_recurrence(self) -> None:
        """Draw decay rates uniformly and step sizes log-uniformly."""
        self.log_rate.uniform_(*RATE_RANGE).log_()
        step = self.step_bias.uniform_(*map(math.log, STEP_RANGE)).exp()
        # The inverse of softplus.
        self.step_bias.copy_(step + (-torch.expm1(-step)).log())

    def forward(
        self, x: torch.Tensor, grid: Optional[Tuple[int, int]] = None
    ) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D). In the non-causal mode a map row
                by row, then any number of extra tokens, such as the class
                token.
            grid (tuple[int, int], optional): Rows and columns of the map, which
                the non-causal mode needs. Defaults to None.

        Returns:
            torch.Tensor: Shape (B, N, D).

        Raises:
            ValueError: If the non-causal mode gets no grid, or one with more
                cells than there are tokens.
        """
        gate, mixed, step = self.in_proj(x).split(
            [self.widths[0], sum(self.widths), self.num_heads], dim=2
        )
        values, b, c = F.silu(self._convolve(mixed, grid)).split(self.widths, dim=2)
        values = values.unflatten(2, (self.num_heads, -1))
        # The meta device, where operations are counted, has no autocast.
        with torch.autocast('cpu' if x.is_meta else x.device.type, enabled=False):
            step = F.softplus(_widen(step) + _widen(self.step_bias))
            rate = _widen(self.log_rate).exp()
            if self.mode == 'causal':
                y = causal_ssd(values, step, rate, b, c, self.chunk_size)
            else:
                y = non_causal_ssd(values, step * rate, b, c)
            y = (y + _widen(self.skip)[:, None] * values).flatten(2)
        return self.drop(self.out_proj(self._gate(y, gate)))

    def _convolve(
        self, x: torch.Tensor, grid: Optional[Tuple[int, int]]
    ) -> torch.Tensor:
        """Convolve (B, N, channels) depth-wise."""
        if self.mode == 'causal':
            return self.conv(x.mT)[:, :, : x.shape[1]].mT
        if grid is None or math.prod(grid) > x.shape[1]:
            raise ValueError(
                f'grid={grid} does not fit {x.shape[1]} tokens: the non-causal mode '
                'needs the rows and columns of the map.'
            )
        num_cells = math.prod(grid)
        cells = convolve_map(self.conv, x[:, :num_cells], grid)
        if num_cells == x.shape[1]:
            return cells
        # An extra token has no neighbours: it is a map of one cell.
        extra = x[:, num_cells:]
        single = self.conv(extra.flatten(0, 1)[:, :, None, None])
        return torch.cat([cells, single.flatten(1).view_as(extra)], dim=1)

    def _gate(self, y: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Gate and normalise (B, N, E)."""
        dtype = self.norm.weight.dtype
        if self.mode == 'causal':
            return self.norm((y * F.silu(_widen(gate))).to(dtype))
        return self.norm(y.to(dtype)) * gate


def non_causal_ssd(
    values: torch.Tensor, weight: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """Mix tokens without order: y_n = c_n sum_m(weight_m b_m^T x_m).

    The sum has no normaliser, so that it grows with the number of tokens. It
    can exceed the range of float16, which is computed in float32.

    Args:
        values (torch.Tensor): x, (B, N, heads, P).
        weight (torch.Tensor): Step size times decay rate, (B, N, heads).
        b, c (torch.Tensor): Input and output map, (B, N, S) each.

    Returns:
        torch.Tensor: Shape (B, N, heads, P).
    """
    dtype = torch.float32 if b.dtype == torch.float16 else b.dtype
    scaled = (values * weight.unsqueeze(3)).flatten(2).to(dtype)
    state = b.to(dtype).mT @ scaled  # (B, S, E)
    return (c.to(dtype) @ state).unflatten(2, values.shape[2:])


def causal_ssd(
    values: torch.Tensor,
    step: torch.Tensor,
    rate: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    chunk_size: int,
) -> torch.Tensor:
    """Mix tokens in their order: H_n = exp(-rate step_n) H_{n-1} + step_n b_n^T x_n,
    y_n = c_n H_n.

    Tokens of a chunk are mixed by a matrix of scores with decays; the states
    are passed between chunks. This is the algorithm of arXiv 2405.21060,
    section 6, in float32 at least.

    Args:
        values (torch.Tensor): x, (B, N, heads, P).
        step (torch.Tensor): Step sizes, (B, N, heads).
        rate (torch.Tensor): Decay rates, (heads,).
        b, c (torch.Tensor): Input and output map, (B, N, S) each.
        chunk_size (int): Largest number of tokens Q of a chunk.

    Returns:
        torch.Tensor: Shape (B, N, heads, P).
    """
    num_tokens, num_heads = values.shape[1:3]
    chunk = min(chunk_size, num_tokens)
    padding = -num_tokens % chunk

    def split(x: torch.Tensor) -> torch.Tensor:
        """(B, N, channels) -> (B, K, Q, channels); padded steps are zero."""
        return F.pad(_widen(x), (0, 0, 0, padding)).unflatten(1, (-1, chunk))

    x = split((values * step.unsqueeze(3)).flatten(2))
    b, c = split(b), split(c)
    # (B, K, Q, heads) -> (B, K, heads, Q)
    log_decay = split(-rate * step).mT
    decay = _segment_sums(log_decay).exp()  # (B, K, heads, Q, Q)
    x_heads = x.unflatten(3, (num_heads, -1)).transpose(2, 3)
    y = ((c @ b.mT).unsqueeze(2) * decay) @ x_heads  # (B, K, heads, Q, P)
    if x.shape[1] > 1:
        to_end = decay[..., -1, :].mT.unsqueeze(4)  # (B, K, Q, heads, 1)
        kept = (x.unflatten(3, (num_heads, -1)) * to_end).flatten(3)
        states = b.mT @ kept  # (B, K, S, E)
        # (B, K, heads) -> (B, heads, 1 + K): a zero before the first chunk
        totals = F.pad(log_decay.sum(dim=3).mT, (1, 0))
        between = _segment_sums(totals)[..., :-1, 1:].exp()  # (B, heads, K, K)
        # (B, K, S, E) -> (B, heads, K, S * P)
        states = states.unflatten(3, (num_heads, -1)).permute(0, 3, 1, 2, 4)
        starts = (between @ states.flatten(3)).view_as(states)
        # (B, heads, K, S, P) -> (B, K, S, E)
        starts = starts.permute(0, 2, 3, 1, 4).flatten(3)
        read = (c @ starts).unflatten(3, (num_heads, -1)).transpose(2, 3)
        y = y + log_decay.cumsum(dim=3).exp().unsqueeze(4) * read
    # (B, K, heads, Q, P) -> (B, N, heads, P)
    return y.transpose(2, 3).flatten(1, 2)[:, :num_tokens]


def convolve_map(
    conv: nn.Module, x: torch.Tensor, grid: Tuple[int, int]
) -> torch.Tensor:
    """Apply a convolution that keeps the size to a map of tokens.

    Args:
        conv (nn.Module): The convolution.
        x (torch.Tensor): Shape (B, h * w, channels).
        grid (tuple[int, int]): Rows and columns (h, w).

    Returns:
        torch.Tensor: Shape (B, h * w, channels).
    """
    return conv(x.mT.unflatten(2, grid)).flatten(2).mT


def _segment_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums x_{j+1} + ... + x_i at (i, j), -inf for i < j: (..., Q) -> (..., Q, Q).

    They are cumulative sums of masked copies, which are more accurate than
    differences of cumulative sums.
    """
    size = x.shape[-1]
    ones = torch.ones(size, size, dtype=torch.bool, device=x.device)
    # (..., i, j): x_i where i > j
    copies = x.unsqueeze(-1).expand(*x.shape, size).masked_fill(~ones.tril(-1), 0.0)
    return copies.cumsum(dim=-2).masked_fill(~ones.tril(), -torch.inf)


def _widen(x: torch.Tensor) -> torch.Tensor:
    """Convert to float32, or leave float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
