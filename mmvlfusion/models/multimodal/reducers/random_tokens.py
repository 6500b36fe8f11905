"""Random selection of image tokens."""

from typing import Sequence

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import MapReducer


@MODELS.register_module()
class RandomTokenReducer(MapReducer):
    """N tokens of the map, drawn without replacement: the baseline of reducers.

    In training each image has its own draw in each step. In evaluation all
    images of one map size have the draw of ``seed``; the scores of several seeds
    show how much the draw matters.

    Args:
        in_channels (int): Channels C of the feature map.
        num_tokens (int): Number N of tokens.
        seed (int): Seed of the draw in evaluation. Defaults to 0.

    Raises:
        ValueError: If ``num_tokens`` is below 1.
    """

    def __init__(self, in_channels: int, num_tokens: int, seed: int = 0) -> None:
        super().__init__(in_channels, init_cfg=None)
        check_number('num_tokens', num_tokens, 1, integer=True)
        self.num_tokens = num_tokens
        self.seed = seed

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``MapReducer.forward``."""
        tokens = maps[-1].flatten(2).mT
        batch, number, channels = tokens.shape
        if number < self.num_tokens:
            raise ValueError(
                f'The map has {number} positions, fewer than '
                f'num_tokens={self.num_tokens}: reduce num_tokens, or use larger '
                'images.'
            )
        if self.training:
            order = torch.rand(batch, number, device=tokens.device).argsort(dim=1)
        else:
            generator = torch.Generator().manual_seed(self.seed)
            order = torch.randperm(number, generator=generator)
            order = order.to(tokens.device).expand(batch, -1)
        kept = order[:, : self.num_tokens].sort(dim=1).values
        return tokens.gather(1, kept[..., None].expand(-1, -1, channels))
