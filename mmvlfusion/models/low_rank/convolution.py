"""Low-rank convolutions of 1 x 1 pixels, which are linear layers of each pixel."""

from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from .linear import LowRankLinear, factorize


class LowRankConv2d(LowRankLinear):
    """A 1 x 1 convolution whose weight is the product of two factors.

    All groups of a grouped convolution have one rank. In ``down`` and ``up``, the
    rows of the groups follow each other.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        rank (int): Rank of the weight of a group.
        bias (bool): Whether there is a bias. Defaults to True.
        stride (tuple[int, int]): Stride in pixels. Defaults to (1, 1).
        groups (int): Number of groups. Defaults to 1.
        **kwargs: Device and data type of the parameters.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rank: int,
        bias: bool = True,
        stride: Tuple[int, int] = (1, 1),
        groups: int = 1,
        **kwargs,
    ) -> None:
        # The parameters of the base class are those of one group.
        super().__init__(
            in_channels // groups, out_channels // groups, rank, False, **kwargs
        )
        self.in_features, self.out_features = in_channels, out_channels
        self.stride, self.groups = stride, groups
        self.down = nn.Parameter(self.down.detach().repeat(groups, 1))
        self.up = nn.Parameter(self.up.detach().repeat(groups, 1))
        if bias:
            self.bias = nn.Parameter(torch.zeros(out_channels, **kwargs))

    @classmethod
    def from_conv(
        cls, conv: nn.Conv2d, rank: int, empty: bool = False
    ) -> 'LowRankConv2d':
        """Factorise a convolution. The bias is shared with it.

        Args:
            conv (nn.Conv2d): The dense layer.
            rank (int): Rank of the weight of a group.
            empty (bool): Whether to leave the factors random, to be loaded
                later. Defaults to False.

        Returns:
            LowRankConv2d: The layer.
        """
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            rank,
            False,
            conv.stride,
            conv.groups,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        layer.bias = conv.bias
        layer._take_over(conv, empty)
        return layer

    def to_dense(self) -> nn.Conv2d:
        """Make a dense layer with the same weight. The bias is shared with it.

        Returns:
            nn.Conv2d: The layer.
        """
        conv = nn.Conv2d(
            self.in_features,
            self.out_features,
            1,
            self.stride,
            groups=self.groups,
            bias=False,
            device=self.up.device,
            dtype=self.up.dtype,
        )
        with torch.no_grad():
            conv.weight.copy_(self.weight)
        conv.weight.requires_grad_(self.up.requires_grad)
        conv.bias = self.bias
        return conv.train(self.training)

    @property
    def weight(self) -> torch.Tensor:
        """torch.Tensor: The dense weight, (out, in / groups, 1, 1)."""
        up = self.up.unflatten(0, (self.groups, -1))
        down = self.down.unflatten(0, (self.groups, -1))
        return (up @ down).flatten(0, 1)[..., None, None]

    def _factors_of(self, weight: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        groups = weight.flatten(1).chunk(self.groups)
        down, up = zip(*(factorize(group, self.rank) for group in groups))
        return torch.cat(down), torch.cat(up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        Args:
            x (torch.Tensor): Shape (B, in, H, W).

        Returns:
            torch.Tensor: Shape (B, out, H / stride, W / stride).
        """
        x = F.conv2d(
            x, self.down[..., None, None], stride=self.stride, groups=self.groups
        )
        return F.conv2d(x, self.up[..., None, None], self.bias, groups=self.groups)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, stride={self.stride}, groups={self.groups}'
