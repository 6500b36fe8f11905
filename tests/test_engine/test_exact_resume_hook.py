"""A killed and resumed run equals an uninterrupted run bit by bit."""

import random
from itertools import chain, islice

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.datasets import RepeatAugSampler
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from mmvlfusion.engine import ExactResumeHook
from mmvlfusion.engine.hooks.exact_resume_hook import (
    _fetch,
    _SeededBatch,
    _SeededBatches,
    _with_batches,
)

from . import resume_matrix


@pytest.fixture(scope='module')
def runs(tmp_path_factory, shapes_root):
    return resume_matrix.Runs(
        tmp_path_factory.mktemp('runs'), shapes_root / 'classification'
    )


@pytest.mark.e2e
@pytest.mark.parametrize(
    'loop, ranks, workers, kill, start',
    [
        ('epochs', 1, 0, 'accumulation of gradients', 8),
        ('epochs', 1, 0, 'validation', 12),
        ('iterations', 1, 0, 'writing of a checkpoint', 8),
        ('iterations', 2, 0, 'accumulation of gradients', 8),
    ],
)
def test_resumed_run_is_bitwise_equal(loop, ranks, workers, kill, start, runs):
    """``resume_matrix.py`` runs all cases."""
    # The number of workers does not matter.
    resumed_workers = 1 if kill == 'validation' else workers
    assert runs.resumed(loop, ranks, workers, kill, resumed_workers) == (start, [])


@pytest.mark.e2e
def test_number_of_processes_does_not_change_losses(runs):
    """The model has no batch statistics; its randomness is switched off."""
    losses = [runs.losses(ranks) for ranks in (1, 2)]
    assert len(losses[0]) == 18
    np.testing.assert_allclose(*losses, rtol=1e-6)


class _Random:
    """Samples with an index and random numbers."""

    def __init__(self, length=24):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return (index, random.random(), np.random.rand(), float(torch.rand(1)))


def load_steps(monkeypatch, sampler, ranks, steps, epoch=0, skip=0, length=24):
    """Return the samples of all ranks in each step of eight samples."""
    parts = []
    for rank in range(ranks):
        for module in (
            'mmengine.dataset.sampler',
            'mmpretrain.datasets.samplers.repeat_aug',
            'mmvlfusion.engine.hooks.exact_resume_hook',
        ):
            info = (rank, ranks)
            monkeypatch.setattr(f'{module}.get_dist_info', lambda info=info: info)
        batches = BatchSampler(sampler(_Random(length)), 8 // ranks, False)
        endless = sampler is InfiniteSampler
        seeded = _SeededBatches(batches, seed=3, endless=endless)
        seeded.epoch, seeded.skip = epoch, skip
        loader = DataLoader(batches.sampler.dataset, collate_fn=list)
        parts.append(list(islice(_with_batches(loader, seeded), steps)))
    return [sorted(chain(*step)) for step in zip(*parts)]


SAMPLERS = [DefaultSampler, InfiniteSampler, RepeatAugSampler]


@pytest.mark.parametrize('ranks', [2, 4])
@pytest.mark.parametrize('sampler', SAMPLERS)
def test_number_of_processes_does_not_change_samples(sampler, ranks, monkeypatch):
    """The samples of a step and their random numbers are the same."""
    for epoch in range(2):
        one = load_steps(monkeypatch, sampler, 1, 3, epoch)
        assert len(one) == 3
        assert load_steps(monkeypatch, sampler, ranks, 3, epoch) == one
        # A run continues on another number of processes.
        assert load_steps(monkeypatch, sampler, ranks, 2, epoch, skip=1) == one[1:]


def test_number_of_processes_only_changes_samples_of_last_step(monkeypatch):
    """Samples are repeated so that all processes have the same number."""
    one = load_steps(monkeypatch, DefaultSampler, 1, 4, length=25)
    two = load_steps(monkeypatch, DefaultSampler, 2, 4, length=25)
    assert one[:3] == two[:3]
    assert (len(one[3]), len(two[3])) == (1, 2)


@pytest.mark.parametrize('sampler', SAMPLERS)
def test_repeated_sample_has_new_random_numbers(sampler, monkeypatch):
    """A sample has other random numbers in each epoch and each repetition."""
    if sampler is InfiniteSampler:
        steps = load_steps(monkeypatch, sampler, 1, 6)
    else:
        steps = load_steps(monkeypatch, sampler, 1, 3, epoch=0)
        steps += load_steps(monkeypatch, sampler, 1, 3, epoch=1)
    samples = list(chain(*steps))
    assert len({index for index, *_ in samples}) < len(samples)
    for numbers in list(zip(*samples))[1:]:
        assert len(set(numbers)) == len(samples)


class _Sampler:
    seed, epoch = None, 0

    def set_epoch(self, epoch):
        self.epoch = epoch


class _Batches:
    batch_size = 2

    def __init__(self):
        self.sampler = _Sampler()

    def __len__(self):
        return 3

    def __iter__(self):
        start = 10 * self.sampler.epoch
        return iter([[start, start + 1], [start + 2], [start + 3]])


def test_batch_seeds_follow_position():
    batches = _SeededBatches(_Batches(), seed=5, endless=False)
    assert batches.sampler.seed == 5
    first = list(batches)
    seeds = {seed for batch in first for seed in batch.seeds}
    assert len(seeds) == 4
    batches.epoch = 1
    assert [list(batch) for batch in batches] == [[10, 11], [12], [13]]
    assert seeds.isdisjoint(seed for batch in batches for seed in batch.seeds)
    batches.epoch, batches.skip = 0, 2
    rest = list(batches)
    assert [(list(b), b.seeds) for b in rest] == [(list(b), b.seeds) for b in first[2:]]


def test_endless_batches_continue_across_epochs():
    batches = _SeededBatches(_Batches(), seed=5, endless=True)
    stream = iter(batches)
    seen = [next(stream) for _ in range(8)]
    assert [list(b) for b in seen[2:5]] == [[3], [10, 11], [12]]
    batches.skip = 5
    after = next(iter(batches))
    assert (list(after), after.seeds) == (list(seen[5]), seen[5].seeds)


def test_infinite_sampler_restarts_after_closed_iterator():
    sampler = InfiniteSampler(range(10), seed=3)
    seeded = _SeededBatches(BatchSampler(sampler, 4, True), 3, endless=True)
    first = iter(seeded)
    expected = [list(next(first)) for _ in range(5)]
    first.close()
    assert list(sampler) == []  # The generator of the sampler is exhausted.
    second = iter(seeded)
    assert [list(next(second)) for _ in range(5)] == expected


@pytest.mark.parametrize('endless', [False, True])
def test_rejects_epoch_without_batches(endless):
    batches = BatchSampler(
        torch.utils.data.SequentialSampler(range(20)), 64, drop_last=True
    )
    seeded = _SeededBatches(batches, seed=0, endless=endless)
    with pytest.raises(ValueError, match='20 samples.*batch_size=64'):
        next(iter(seeded))


def test_fetch_is_seeded_and_restores_random_state():
    batch = _SeededBatch([3, 4], [(1, 0, 7), (1, 0, 8)])
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second = _fetch(_Random(), batch), _fetch(_Random(), batch)
    assert torch.equal(torch.rand(1), expected)
    assert first == second and first[0][1:] != first[1][1:]
    # The other samples of the batch do not matter.
    assert _fetch(_Random(), _SeededBatch([4], [(1, 0, 8)])) == first[1:]


def test_rejects_iterable_data():

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    class Runner:
        class train_loop:
            dataloader = torch.utils.data.DataLoader(Stream())

    with pytest.raises(TypeError, match='iterable data set Stream'):
        ExactResumeHook().before_train(Runner)
