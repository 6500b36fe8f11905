"""Resumption of training with exactly the result of an uninterrupted run."""

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

from mmvlfusion.datasets.utils.batches import check_batches, raise_no_batch
from mmvlfusion.registry import HOOKS

# The random streams of the two purposes.
_ITERATION_STREAM = 0
_BATCH_STREAM = 1
# The settings that a rebuilt data loader takes over.
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

    Random states cannot be stored exactly, because workers have their own
    states and load ahead. Instead, this hook sets the seeds of Python, NumPy
    and PyTorch for each training iteration (drop path, dropout, Mixup) and for
    the loading of each batch (augmentation). The seeds are computed from the
    seed of the run, the rank, and the number of the iteration or batch.
    Therefore a run that is interrupted and resumed ends with the same weights
    as an uninterrupted one, bit for bit if the operators are deterministic. The
    number of workers does not matter.

    The position in the data follows from the iteration in the checkpoint.
    Earlier batches are skipped without being decoded. This works in epoch-based
    and iteration-based training, from checkpoints at any iteration. The seed of
    the run is the one that mmengine stores in the checkpoint.

    Note:
        In iteration-based training with a finite sampler, the workers are not
        restarted between epochs.

    Raises:
        TypeError: If the training set is an ``IterableDataset``, in which
            samples have no position.
        ValueError: If an epoch has no batch.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._batches: _SeededBatches
        self._seed = 0

    def before_train(self, runner: Runner) -> None:
        """Rebuild the training loader with seeded batches.

        Args:
            runner (Runner): The runner.
        """
        loop = runner.train_loop
        if isinstance(loop.dataloader.dataset, IterableDataset):
            raise TypeError(
                f'ExactResumeHook cannot position the iterable data set '
                f'{type(loop.dataloader.dataset).__name__}: use a map-style '
                'data set, such as IndexedImageTextShards, or remove the hook.'
            )
        # All ranks need the same seed, even with diff_rank_seed, because their
        # samplers split one permutation. The rank is added to the seeds of
        # iterations and batches.
        seed = torch.tensor(runner.seed)
        broadcast(seed)
        self._seed = int(seed)
        by_iter = isinstance(loop, IterBasedTrainLoop)
        check_batches(loop)
        self._batches = _SeededBatches(
            loop.dataloader.batch_sampler, self._seed, endless=by_iter
        )
        loop.dataloader = _with_batches(loop.dataloader, self._batches)
        if by_iter:
            self._batches.skip = runner.iter
            # To skip batches, older loops call next() for each of them, newer
            # loops call skip_iter() once.
            pending = 0 if hasattr(loop, 'fast_forward_on_resume') else runner.iter
            loop.dataloader_iterator = _ResumedIterator(loop.dataloader, pending)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch, and its first batch after a resumption.

        Args:
            runner (Runner): The runner.
        """
        if self._batches.endless:
            return
        self._batches.epoch = runner.epoch
        done = runner.iter - runner.epoch * len(self._batches)
        if 0 <= done < len(self._batches):
            self._batches.skip = done
        else:
            self._batches.skip = 0
            runner.logger.warning(
                f'An epoch now has {len(self._batches)} iterations, which '
                f'does not fit epoch {runner.epoch} and iteration '
                f'{runner.iter} of the checkpoint: this epoch starts from its '
                'first batch.'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the seeds for the model's randomness in this iteration.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
        """
        _seed_everything(self._seed, get_rank(), _ITERATION_STREAM, runner.iter)


class _SeededBatches:
    """A batch sampler that adds a seed to each batch of another one.

    Args:
        base (Any): The other batch sampler.
        seed (int): Seed of the run. It is also set on the sampler.
        endless (bool): Whether one iterator passes all epochs, one after
            another.

    Attributes:
        base (Any): The other batch sampler.
        epoch (int): The epoch of the next iterator.
        skip (int): Number of batches that the next iterator skips.
    """

    def __init__(self, base: Any, seed: int, endless: bool) -> None:
        self.base = base
        self.sampler = base.sampler
        if hasattr(self.sampler, 'seed'):
            self.sampler.seed = seed
        self.batch_size = base.batch_size
        self.drop_last = getattr(base, 'drop_last', False)
        self.seed = seed
        self.endless = endless
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        return len(self.base)

    def _indices(self) -> Iterator[List[int]]:
        """Iterate over the batches of an epoch, or of all epochs."""
        if isinstance(self.sampler, InfiniteSampler):
            # The sampler has only one generator, which ends when an iterator
            # over it is closed.
            self.sampler.indices = self.sampler._indices_of_rank()
        epochs = count() if self.endless else (self.epoch,)
        for epoch in epochs:
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            is_empty = True
            for batch in self.base:
                is_empty = False
                yield batch
            if is_empty:
                raise_no_batch(self.base, len(self.sampler))

    def __iter__(self) -> Iterator['_SeededBatch']:
        seed = (self.seed, get_rank(), _BATCH_STREAM, self.epoch)
        for number, indices in enumerate(self._indices()):
            if number >= self.skip:
                yield _SeededBatch(indices, (*seed, number))


class _SeededBatch(list):
    """The indices of a batch, with the seed of its augmentation."""

    def __init__(self, indices: Sequence[int], seed: Sequence[int]) -> None:
        super().__init__(indices)
        self.seed = seed


class _ResumedIterator:
    """An iterator that starts at the position to which its loop skips.

    Args:
        loader (DataLoader): The data loader. Its batch sampler skips the
            batches.
        pending (int): How often the loop calls ``next`` to skip batches. These
            calls return None.
    """

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
        """Do nothing, since the batch sampler skips the batches.

        Args:
            num_iters (int): Not used.
        """


def _with_batches(loader: DataLoader, batches: _SeededBatches) -> DataLoader:
    """Copy a data loader, with another batch sampler."""
    # If a data set has __getitems__, PyTorch calls it with the whole batch.
    loader.dataset.__getitems__ = partial(_fetch, loader.dataset)
    kwargs = {name: getattr(loader, name) for name in _LOADER_ARGS}
    return DataLoader(batch_sampler=batches, **kwargs)


def _fetch(dataset: Dataset, batch: _SeededBatch) -> List[Any]:
    """Load the samples of a batch with its seed."""
    with _restored_random_state():
        _seed_everything(*batch.seed)
        return [dataset[index] for index in batch]


def _seed_everything(*entropy: int) -> None:
    """Set the seeds of Python, NumPy and PyTorch from integers."""
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


@contextmanager
def _restored_random_state() -> Iterator[None]:
    """Restore the random states of Python, NumPy and PyTorch on exit."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
