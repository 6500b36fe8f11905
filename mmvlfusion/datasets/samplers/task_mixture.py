"""Batches of several tasks, drawn by ratios that may change."""

from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info

from mmvlfusion.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class TaskMixtureSampler:
    """A batch sampler that draws a task, then samples of it alone.

    The data set is a ``ConcatDataset`` with one part a task; with the transform
    ``SetTask`` the parts of pre-training name its objectives. All ranks draw
    the same tasks and share out the samples of each; a part is passed in a
    random order before it is passed anew. ``TaskMixtureHook`` adapts the
    ratios. Batches follow from the seed, the epoch and the ratios, so that a
    resumed run draws the same.

    Args:
        sampler (DefaultSampler): The sampler of the loader, of which the data
            set, the seed and the epoch are taken.
        batch_size (int): Samples of a batch on a rank.
        ratios (Sequence[float], optional): How often each task is drawn, up to
            a factor. Defaults to the numbers of samples.
        interval (int): Iterations for which ratios stay. Defaults to 50.

    Raises:
        TypeError: If sampler or data set are of another kind.
        ValueError: If the ratios are not one for each task, or negative, or the
            data sets are smaller than a batch.
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
                f'{type(sampler).__name__}.'
            )
        ends = getattr(sampler.dataset, 'cumulative_sizes', None)
        if ends is None:
            raise TypeError(
                'TaskMixtureSampler needs a ConcatDataset with one data set a '
                f'task, not {type(sampler.dataset).__name__}.'
            )
        if interval < 1:
            raise ValueError(f'interval={interval} must be at least 1.')
        self.sampler = sampler
        self.batch_size = batch_size
        self.parts = list(zip([0, *ends[:-1]], ends))
        if ratios is None:
            ratios = [stop - start for start, stop in self.parts]
        self.ratios = self.normalize('ratios', ratios)
        self.interval = interval
        self.rank, self.world_size = get_dist_info()
        if not len(self):
            raise ValueError(
                f'{ends[-1]} samples of all tasks are fewer than '
                f'batch_size={batch_size} on all ranks.'
            )
        #: Ratios of each interval; None if they are the same in all.
        self.history: Optional[List[List[float]]] = None

    def normalize(self, name: str, ratios: Sequence[float]) -> List[float]:
        """Ratios, one for each task, that sum to 1.

        Raises:
            ValueError: If they are not.
        """
        if len(ratios) != len(self.parts) or min(ratios) < 0 or not sum(ratios):
            raise ValueError(
                f'{name}={list(ratios)} must be a weight for each '
                f'of the {len(self.parts)} tasks.'
            )
        return [ratio / sum(ratios) for ratio in ratios]

    def __len__(self) -> int:
        return self.parts[-1][1] // (self.batch_size * self.world_size)

    def ratios_at(self, iteration: int) -> List[float]:
        """The ratios of an iteration.

        Raises:
            ValueError: If they do not follow from the losses yet.
        """
        if self.history is None:
            return self.ratios
        number = iteration // self.interval
        if number >= len(self.history):
            raise ValueError(
                f'interval={self.interval} is below the number of batches that '
                'workers load ahead: raise it, or have fewer workers.'
            )
        return self.history[number]

    def task_at(self, iteration: int) -> int:
        """The number of the task of an iteration, the same on all ranks."""
        draw = np.random.default_rng((self.sampler.seed, iteration)).random()
        bounds = np.cumsum(self.ratios_at(iteration))
        return int(np.searchsorted(bounds[:-1], draw, side='right'))

    def __iter__(self) -> Iterator[List[int]]:
        """The indices of this rank's batches of an epoch."""
        first = self.sampler.epoch * len(self)
        streams = [self._stream(task) for task in range(len(self.parts))]
        for iteration in range(first, first + len(self)):
            stream = streams[self.task_at(iteration)]
            indices = [next(stream) for _ in range(self.batch_size * self.world_size)]
            yield indices[self.rank :: self.world_size]

    def _stream(self, task: int) -> Iterator[int]:
        """The samples of a task in random orders, one after the other."""
        start, stop = self.parts[task]
        seed: Tuple[int, ...] = (self.sampler.seed, self.sampler.epoch, task)
        generator = np.random.default_rng(seed)
        while True:
            yield from (start + generator.permutation(stop - start)).tolist()
