"""A killed and resumed run equals an uninterrupted run bit by bit."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import BatchSampler, IterableDataset

from mmvlfusion.engine import ExactResumeHook
from mmvlfusion.engine.hooks.exact_resume_hook import (
    _fetch,
    _SeededBatch,
    _SeededBatches,
)

EVERYTHING_RANDOM = {
    'model.backbone.drop_path_rate': 0.3,
    'model.backbone.drop_rate': 0.1,
    'model.train_cfg': dict(augments=[dict(type='Mixup', alpha=0.8)]),
    'custom_hooks': [dict(type='EMAHook', momentum=0.1)],
    'train_dataloader.num_workers': 2,
    'randomness.seed': 1,
}
EPOCHS = {'train_cfg.max_epochs': 3, 'train_cfg.val_interval': 1}
ITERATIONS = {
    'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=18, val_interval=5),
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 4,
    'param_scheduler': [dict(type='CosineAnnealingLR', T_max=18, by_epoch=False)],
}
CASES = {
    'epochs, saved within': {
        **EPOCHS,
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 4,
    },
    'iterations, endless sampler': {
        **ITERATIONS,
        'train_dataloader.sampler': dict(_delete_=True, type='InfiniteSampler'),
    },
}


@pytest.mark.parametrize('case', list(CASES))
def test_resumed_run_is_bitwise_equal(case, tiny_config, tmp_path, run_tool):
    overrides = {**EVERYTHING_RANDOM, **CASES[case]}

    def train(folder, *args, extra=None, status=0):
        config = tiny_config({**overrides, **(extra or {})})
        run_tool(
            'tools/train.py',
            config,
            '--work-dir',
            folder,
            *args,
            status=status,
            # The killed run needs its own process.
            **(dict(env=dict(PYTHONPATH=str(Path(__file__).parent))) if status else {}),
        )
        if status == 0:
            last = (folder / 'last_checkpoint').read_text().strip()
            return torch.load(last, weights_only=False)

    uninterrupted = train(tmp_path / 'whole')
    kill = {
        'custom_imports': dict(imports=['kill_hook']),
        'default_hooks.kill': dict(type='KillHook', iteration=10),
    }
    train(tmp_path / 'broken', extra=kill, status=1)
    # The number of workers does not matter.
    resumed = train(
        tmp_path / 'broken', '--resume', extra={'train_dataloader.num_workers': 1}
    )
    assert resumed['meta']['iter'] == uninterrupted['meta']['iter'] == 18
    for part in ('state_dict', 'ema_state_dict'):
        assert resumed[part].keys() == uninterrupted[part].keys()
        for name, value in uninterrupted[part].items():
            assert torch.equal(value, resumed[part][name]), name
    for first, second in zip(
        uninterrupted['optimizer']['state'].values(),
        resumed['optimizer']['state'].values(),
    ):
        assert torch.equal(first['exp_avg_sq'], second['exp_avg_sq'])


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
    assert len({batch.seed for batch in first}) == 3
    batches.epoch = 1
    assert [list(batch) for batch in batches] == [[10, 11], [12], [13]]
    assert {batch.seed for batch in first}.isdisjoint(batch.seed for batch in batches)
    batches.epoch, batches.skip = 0, 2
    rest = list(batches)
    assert [(list(b), b.seed) for b in rest] == [(list(b), b.seed) for b in first[2:]]


def test_endless_batches_continue_across_epochs():
    batches = _SeededBatches(_Batches(), seed=5, endless=True)
    stream = iter(batches)
    seen = [next(stream) for _ in range(8)]
    assert [list(b) for b in seen[2:5]] == [[3], [10, 11], [12]]
    batches.skip = 5
    after = next(iter(batches))
    assert (list(after), after.seed) == (list(seen[5]), seen[5].seed)


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


class _Random:
    def __getitem__(self, index):
        return (index, random.random(), np.random.rand(), float(torch.rand(1)))


def test_fetch_is_seeded_and_restores_random_state():
    batch = _SeededBatch([3, 4], (1, 0, 1, 0, 7))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second = _fetch(_Random(), batch), _fetch(_Random(), batch)
    assert torch.equal(torch.rand(1), expected)
    assert first == second and first[0][1:] != first[1][1:]
    other = _fetch(_Random(), _SeededBatch([3, 4], (1, 0, 1, 0, 8)))
    assert other[0][1:] != first[0][1:]


def test_rejects_iterable_data():

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    class Runner:
        class train_loop:
            dataloader = torch.utils.data.DataLoader(Stream())

    with pytest.raises(TypeError, match='iterable data set Stream'):
        ExactResumeHook().before_train(Runner)
