"""Random order that reads a few archives at a time."""

from typing import Any, Iterator, List, Optional

import torch
from mmengine.dataset import DefaultSampler

from mmvlfusion.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardLocalSampler(DefaultSampler):
    """Draw archives in random order, and samples at random among a few of them.

    An epoch has each sample once. The order is a function of the seed and the
    epoch, so that a resumed run draws the same samples. All ranks read from the
    same archives at a time.

    Args:
        dataset (IndexedImageTextShards): The data set.
        num_open (int): Number of archives whose samples are mixed. Defaults
            to 8.
        seed (int, optional): Seed of the order. Defaults to None, which draws
            one that all ranks share.
        round_up (bool): Whether samples are repeated so that all ranks have
            equal numbers. Defaults to True.

    Raises:
        TypeError: If the data set has no archives.
        ValueError: If ``num_open`` is below 1, or the data set has only a part
            of its archives' samples.
    """

    def __init__(
        self,
        dataset: Any,
        num_open: int = 8,
        seed: Optional[int] = None,
        round_up: bool = True,
    ) -> None:
        sizes = getattr(dataset, 'shard_sizes', None)
        if sizes is None:
            raise TypeError(
                'ShardLocalSampler needs the data set IndexedImageTextShards, not '
                f'{type(dataset).__name__}: use DefaultSampler for other data sets.'
            )
        if num_open < 1:
            raise ValueError(f'num_open={num_open} must be at least 1.')
        # The length may read a lazy data set, which sets the sizes.
        number = len(dataset)
        if sum(sizes) != number:
            raise ValueError(
                f'The data set has {number} samples and its archives have '
                f'{sum(sizes)}: use DefaultSampler, or remove indices from the data '
                'set.'
            )
        super().__init__(dataset, shuffle=False, seed=seed, round_up=round_up)
        self.num_open = num_open

    def __iter__(self) -> Iterator[int]:
        """Iterate over the samples of this rank in an epoch.

        Returns:
            Iterator[int]: Indices of the samples.
        """
        order = self._order()
        positions = super().__iter__()
        return (order[position] for position in positions)

    def _order(self) -> List[int]:
        """Compute the order of all samples in the epoch."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        shards = torch.arange(len(self.dataset)).split(self.dataset.shard_sizes)
        order = []
        for group in torch.randperm(len(shards), generator=generator).split(
            self.num_open
        ):
            samples = torch.cat([shards[number] for number in group])
            order.append(samples[torch.randperm(len(samples), generator=generator)])
        return torch.cat(order).tolist()
