"""Training that goes on after an interruption as if there had been none."""

import random
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Iterator, List, Optional, Sequence

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import broadcast, get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset, IterableDataset

from mmvlfusion.registry import HOOKS

_LOADER_ARGS = (
    'dataset',
    'num_workers',
    'collate_fn',
    'pin_memory',
    'timeout',
    'worker_init_fn',
    'multiprocessing_context',
    'generator',
    'prefetch_factor',
    'persistent_workers',
)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make all randomness of training a function of the position in it.

    Random states cannot be stored exactly: workers hold their own, and run
    ahead. Instead this hook seeds Python, NumPy and PyTorch anew for each
    training iteration (drop path, dropout, Mixup) and for the loading of each
    batch (augmentation), from the run's seed, the rank and the number of the
    iteration or batch. A run that is killed and resumed therefore ends with
    the weights of one that was not, bit for bit where the operators are
    deterministic; the number of workers does not matter either.

    The position of the data follows from the iteration in the checkpoint;
    batches before it are skipped without being decoded, in epoch-based and in
    iteration-based training, from checkpoints at any iteration. The seed is
    the one that mmengine stores in the checkpoint.

    Note:
        Iteration-based training with a finite sampler passes its epochs
        without restarting the workers.

    Raises:
        TypeError: If the training set is an ``IterableDataset``, which has no
            positions.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._batches: Optional[_SeededBatches] = None
        self._seed = 0

    def before_train(self, runner: Runner) -> None:
        """Rebuild the training loader around seeded batches."""
        loop = runner.train_loop
        if isinstance(loop.dataloader.dataset, IterableDataset):
            raise TypeError(
                f'ExactResumeHook cannot position the iterable data set '
                f'{type(loop.dataloader.dataset).__name__}: use a map-style '
                'data set, or leave the hook out.'
            )
        # One seed for all ranks, whatever diff_rank_seed says, because their
        # samplers share out one permutation; the rank is mixed in below.
        seed = torch.tensor(runner.seed)
        broadcast(seed)
        self._seed = int(seed)
        by_iter = isinstance(loop, IterBasedTrainLoop)
        self._batches = _SeededBatches(
            loop.dataloader.batch_sampler, self._seed, endless=by_iter
        )
        loop.dataloader = _with_batches(loop.dataloader, self._batches)
        if by_iter:
            self._batches.skip = runner.iter
            # Older loops advance by next(), newer ones by skip_iter().
            pending = 0 if hasattr(loop, 'fast_forward_on_resume') else runner.iter
            loop.dataloader_iterator = _ResumedIterator(loop.dataloader, pending)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the position of an epoch's first batch."""
        if self._batches.endless:
            return
        self._batches.epoch = runner.epoch
        done = runner.iter - runner.epoch * len(self._batches)
        if 0 <= done < len(self._batches):
            self._batches.skip = done
        else:
            self._batches.skip = 0
            runner.logger.warning(
                f'An epoch has {len(self._batches)} iterations now, which '
                f'does not fit epoch {runner.epoch} and iteration '
                f'{runner.iter} of the checkpoint: the epoch starts anew.'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed what the model draws in this iteration."""
        _seed_everything(self._seed, get_rank(), 0, runner.iter)


class _SeededBatches:
    """The batches of another batch sampler, each with a seed of its own.

    Args:
        batches (Sequence): The batch sampler.
        seed (int): Seed of the run; it also becomes that of the sampler.
        endless (bool): Whether the epochs follow each other in one iteration.
    """

    def __init__(self, batches: Any, seed: int, endless: bool) -> None:
        self.batches = batches
        self.sampler = batches.sampler
        if hasattr(self.sampler, 'seed'):
            self.sampler.seed = seed
        self.batch_size = batches.batch_size
        self.drop_last = getattr(batches, 'drop_last', False)
        self.seed = seed
        self.endless = endless
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        return len(self.batches)

    def _indices(self) -> Iterator[List[int]]:
        if isinstance(self.sampler, InfiniteSampler):
            # It holds one generator, which an iterator that was closed before
            # has exhausted.
            self.sampler.indices = self.sampler._indices_of_rank()
        for epoch in count() if self.endless else (self.epoch,):
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            is_empty = True
            for batch in self.batches:
                is_empty = False
                yield batch
            if is_empty:
                raise ValueError(
                    f'An epoch of the training data has no batch: '
                    f'{len(self.sampler)} samples on this process, '
                    f'batch_size={self.batch_size}, '
                    f'drop_last={self.drop_last}. Lower '
                    'train_dataloader.batch_size, or set drop_last=False.'
                )

    def __iter__(self) -> Iterator['_SeededBatch']:
        seed = (self.seed, get_rank(), 1, self.epoch)
        for number, indices in enumerate(self._indices()):
            if number >= self.skip:
                yield _SeededBatch(indices, (*seed, number))


class _SeededBatch(list):
    """The indices of a batch, and the seed of their augmentation."""

    def __init__(self, indices: Sequence[int], seed: Sequence[int]) -> None:
        super().__init__(indices)
        self.seed = seed


class _ResumedIterator:
    """An iterator that already stands where its loop wants to advance to."""

    def __init__(self, loader: DataLoader, pending: int) -> None:
        self.loader = loader
        self.pending = pending
        self.iterator: Optional[Iterator] = None

    def __iter__(self) -> '_ResumedIterator':
        return self

    def __next__(self) -> Any:
        if self.pending:
            self.pending -= 1
            return None
        if self.iterator is None:
            self.iterator = iter(self.loader)
        return next(self.iterator)

    def skip_iter(self, num_iters: int) -> None:
        """Nothing is left to skip."""


def _with_batches(loader: DataLoader, batches: _SeededBatches) -> DataLoader:
    """A copy of a loader that takes its indices from ``batches``."""
    # PyTorch's fetcher prefers __getitems__, which sees the whole batch.
    loader.dataset.__getitems__ = partial(_fetch, loader.dataset)
    kwargs = {name: getattr(loader, name) for name in _LOADER_ARGS}
    return DataLoader(batch_sampler=batches, **kwargs)


def _fetch(dataset: Dataset, batch: _SeededBatch) -> List[Any]:
    with _restored_random_state():
        _seed_everything(*batch.seed)
        return [dataset[index] for index in batch]


def _seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and PyTorch from a tuple of integers."""
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


@contextmanager
def _restored_random_state() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
