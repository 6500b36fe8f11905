"""Batches of several tasks, sampled with ratios that may change."""

from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info

from mmvlfusion.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class TaskMixtureSampler:
    """A batch sampler that draws a task, then a batch of its samples.

    The data set is a ``ConcatDataset`` with one data set per task. In
    pre-training, the transform ``SetTask`` gives each of them the name of an
    objective. All ranks draw the same tasks and split the samples of each
    batch. All samples of a task are drawn once, in random order, before any is
    drawn again. ``TaskMixtureHook`` adapts the ratios. The batches are a
    function of the seed, the epoch and the ratios, so that a resumed run draws
    the same batches.

    Args:
        sampler (DefaultSampler): The sampler of the data loader. Its data set,
            seed and epoch are used.
        batch_size (int): Number of samples in a batch on a rank.
        ratios (Sequence[float], optional): Relative frequency of each task;
            they need not sum to 1. Defaults to the numbers of samples.
        interval (int): Number of iterations between changes of the ratios.
            Defaults to 50.

    Raises:
        TypeError: If ``sampler`` or its data set have another type.
        ValueError: If the number of ratios is not the number of tasks, ratios
            are negative or all 0, ``interval`` is below 1, or all tasks
            together have fewer samples than one batch.
    """

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        ratios: Optional[Sequence[float]] = None,
        interval: int = 50,
    ) -> None:
        if not isinstance(sampler, DefaultSampler):
            raise TypeError(
                'TaskMixtureSampler needs a DefaultSampler, not '
                f'{type(sampler).__name__}: set train_dataloader.sampler.'
            )
        ends = getattr(sampler.dataset, 'cumulative_sizes', None)
        if ends is None:
            raise TypeError(
                'TaskMixtureSampler needs a ConcatDataset with one data set per '
                f'task, not {type(sampler.dataset).__name__}: set '
                'train_dataloader.dataset.'
            )
        if interval < 1:
            raise ValueError(f'interval={interval} must be at least 1.')
        self.sampler = sampler
        self.batch_size = batch_size
        # First and last index (exclusive) of each task.
        self.parts = list(zip([0, *ends[:-1]], ends))
        if ratios is None:
            ratios = [stop - start for start, stop in self.parts]
        self.ratios = self.normalize('ratios', ratios)
        self.interval = interval
        self.rank, self.world_size = get_dist_info()
        if not len(self):
            raise ValueError(
                f'All tasks together have {ends[-1]} samples, fewer than one '
                f'batch: batch_size={batch_size} on each of {self.world_size} '
                'ranks. Lower train_dataloader.batch_size.'
            )
        #: Ratios of each interval; None if they are the same in all.
        self.history: Optional[List[List[float]]] = None

    def normalize(self, name: str, ratios: Sequence[float]) -> List[float]:
        """Scale ratios so that they sum to 1.

        Args:
            name (str): Name of the argument, for errors.
            ratios (Sequence[float]): One ratio for each task.

        Returns:
            list[float]: The scaled ratios.

        Raises:
            ValueError: If the number of ratios is not the number of tasks, or
                ratios are negative or all 0.
        """
        if len(ratios) != len(self.parts) or min(ratios) < 0 or not sum(ratios):
            raise ValueError(
                f'{name}={list(ratios)} must have one weight for each of the '
                f'{len(self.parts)} tasks, at least 0 and not all 0.'
            )
        return [ratio / sum(ratios) for ratio in ratios]

    def __len__(self) -> int:
        """Get the number of batches in an epoch.

        Returns:
            int: The number of batches.
        """
        return self.parts[-1][1] // (self.batch_size * self.world_size)

    def ratios_at(self, iteration: int) -> List[float]:
        """Get the ratios of an iteration.

        Args:
            iteration (int): The training iteration, counted over all epochs.

        Returns:
            list[float]: The ratio of each task.

        Raises:
            ValueError: If the ratios of the iteration are not known yet.
        """
        if self.history is None:
            return self.ratios
        number = iteration // self.interval
        if number >= len(self.history):
            raise ValueError(
                f'interval={self.interval} is below the number of batches that '
                'workers load ahead: raise interval, or lower num_workers or '
                'prefetch_factor.'
            )
        return self.history[number]

    def task_at(self, iteration: int) -> int:
        """Draw the task of an iteration, the same on all ranks.

        Args:
            iteration (int): The training iteration, counted over all epochs.

        Returns:
            int: Index of the task.
        """
        draw = np.random.default_rng((self.sampler.seed, iteration)).random()
        bounds = np.cumsum(self.ratios_at(iteration))
        return int(np.searchsorted(bounds[:-1], draw, side='right'))

    def __iter__(self) -> Iterator[List[int]]:
        """Iterate over the batches of this rank in an epoch.

        Yields:
            list[int]: Indices of the samples of a batch.
        """
        first = self.sampler.epoch * len(self)
        streams = [self._stream(task) for task in range(len(self.parts))]
        for iteration in range(first, first + len(self)):
            stream = streams[self.task_at(iteration)]
            indices = [next(stream) for _ in range(self.batch_size * self.world_size)]
            yield indices[self.rank :: self.world_size]

    def _stream(self, task: int) -> Iterator[int]:
        """Iterate over the samples of a task in one random order after another."""
        start, stop = self.parts[task]
        seed: Tuple[int, ...] = (self.sampler.seed, self.sampler.epoch, task)
        generator = np.random.default_rng(seed)
        while True:
            yield from (start + generator.permutation(stop - start)).tolist()
