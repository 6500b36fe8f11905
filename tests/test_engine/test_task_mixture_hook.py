"""Ratios of tasks that follow the training."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader

from mmvlfusion.datasets import TaskMixtureSampler
from mmvlfusion.engine.hooks import TaskMixtureHook
from mmvlfusion.engine.hooks.exact_resume_hook import _SeededBatches

from ..helpers import TaskDataset, make_task_mixture


def train(mixture, hook, losses, start=0, stop=60, stored=None):
    """Train. Return the tasks of the iterations and the final checkpoint."""
    batches = _SeededBatches(mixture, 0, endless=False)
    assert batches.base is mixture
    runner = SimpleNamespace(
        iter=start,
        max_iters=60,
        train_dataloader=SimpleNamespace(batch_sampler=batches),
    )
    if stored is not None:
        hook.after_load_checkpoint(runner, stored)
    hook.before_train(runner)
    batches.skip = start
    drawn = []
    for indices in batches:
        if runner.iter == stop:
            break
        name = mixture.sampler.dataset[indices[0]][0]
        drawn.append(name)
        hook.after_train_iter(runner, 0, outputs=dict(loss=losses(name, runner.iter)))
        runner.iter += 1
    checkpoint = {}
    hook.before_save_checkpoint(runner, checkpoint)
    return drawn, checkpoint


def falling(name, iteration):
    """Return a loss that decreases for task a and is constant for the others."""
    return 2.0 * 0.9**iteration if name == 'a' else 1.0


def test_ratio_decreases_with_loss():
    """A task is drawn less often when its loss decreases."""
    mixture = make_task_mixture(interval=10, ratios=(1, 1, 1))
    train(mixture, TaskMixtureHook(), falling)
    history = mixture.history
    assert len(history) == 8
    for ratios in history[:3]:
        assert ratios == pytest.approx([1 / 3] * 3)
    assert history[7][0] < 0.1
    assert history[7][1] == pytest.approx(history[7][2])
    assert history[7][1] > 0.4
    assert all(sum(ratios) == pytest.approx(1) for ratios in history)


def test_ratios_move_to_end_ratios():
    mixture = make_task_mixture(interval=10, ratios=(1, 1, 0))
    train(mixture, TaskMixtureHook((0, 0, 1), power=0.0), falling)
    for number, ratios in enumerate(mixture.history[2:], 1):
        assert ratios == pytest.approx(
            [0.5 - number / 12, 0.5 - number / 12, number / 6]
        )


def test_resumed_run_draws_the_same_tasks():
    """A resumed run draws the same tasks as an uninterrupted run."""
    whole, _ = train(make_task_mixture(interval=10), TaskMixtureHook(), falling)
    for cut in (17, 30, 45):
        begun, stored = train(
            make_task_mixture(interval=10), TaskMixtureHook(), falling, stop=cut
        )
        ended, _ = train(
            make_task_mixture(interval=10), TaskMixtureHook(), falling, cut, 60, stored
        )
        assert begun + ended == whole


def test_checkpoint_of_another_run_sets_no_ratios():
    _, stored = train(make_task_mixture(interval=10), TaskMixtureHook(), falling)
    mixture = make_task_mixture(interval=10)
    train(mixture, TaskMixtureHook(), falling, stop=5, stored=stored)
    assert len(mixture.history) == 2


def test_rejects_interval_below_prefetched_batches():
    mixture = make_task_mixture(interval=2)
    TaskMixtureHook().before_train(
        SimpleNamespace(iter=0, train_dataloader=SimpleNamespace(batch_sampler=mixture))
    )
    loader = DataLoader(mixture.sampler.dataset, batch_sampler=mixture, num_workers=2)
    with pytest.raises(ValueError, match='interval=2 is below'):
        list(loader)


def test_rejects_wrong_parts():
    with pytest.raises(TypeError, match='ConcatDataset.*Task'):
        TaskMixtureSampler(DefaultSampler(TaskDataset('a', 9)), 2)
    with pytest.raises(TypeError, match='DefaultSampler.*InfiniteSampler'):
        TaskMixtureSampler(InfiniteSampler(TaskDataset('a', 9)), 2)
    with pytest.raises(TypeError, match='list'):
        TaskMixtureHook().before_train(
            SimpleNamespace(train_dataloader=SimpleNamespace(batch_sampler=[]))
        )
    with pytest.raises(ValueError, match='end_ratios'):
        train(make_task_mixture(), TaskMixtureHook((1,)), falling)
