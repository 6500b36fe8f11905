"""Batches of several tasks, by ratios that follow the training."""

from collections import Counter
from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from mmvlfusion.datasets import SetTask, TaskMixtureSampler
from mmvlfusion.engine.hooks import TaskMixtureHook
from mmvlfusion.engine.hooks.exact_resume_hook import _SeededBatches


class Task(Dataset):
    """Numbers that tell their task."""

    def __init__(self, name, size):
        self.name, self.size = name, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.name, index


def make(sizes=(40, 80, 120), batch_size=4, seed=0, **kwargs):
    parts = [Task(name, size) for name, size in zip('abc', sizes)]
    sampler = DefaultSampler(ConcatDataset(parts), seed=seed)
    return TaskMixtureSampler(sampler, batch_size, **kwargs)


def tasks_of(mixture):
    dataset = mixture.sampler.dataset
    return [{dataset[i][0] for i in batch} for batch in mixture]


def test_batches():
    """One task a batch, as often as there are samples of it."""
    mixture = make(sizes=(400, 800, 1200))
    tasks = tasks_of(mixture)
    assert len(tasks) == len(mixture) == 600
    assert all(len(task) == 1 for task in tasks)
    counts = Counter(task for (task,) in tasks)
    assert [counts[name] / 600 for name in 'abc'] == pytest.approx(
        [1 / 6, 1 / 3, 1 / 2], abs=0.05
    )


def test_ratios():
    counts = Counter(
        task for (task,) in tasks_of(make(sizes=(400, 800, 1200), ratios=(3, 1, 0)))
    )
    assert counts['c'] == 0
    assert counts['a'] / 600 == pytest.approx(0.75, abs=0.05)


def test_a_part_is_passed_whole():
    """Before a sample comes again, all others of its task have come."""
    seen = Counter(
        index for batch in make(ratios=(1, 0, 0), batch_size=5) for index in batch
    )
    assert len(seen) == 40 and set(seen.values()) == {6}


def test_seed_and_epoch():
    first, other = make(), make(seed=1)
    assert list(first) == list(make()) != list(other)
    again = make()
    again.sampler.set_epoch(1)
    assert list(again) != list(first)


def test_ranks_share_the_batches(monkeypatch):
    """Two ranks draw the same tasks, and together one process' samples."""
    whole = list(make(batch_size=4))
    shares = []
    for rank in range(2):
        monkeypatch.setattr(
            'mmvlfusion.datasets.samplers.task_mixture.get_dist_info',
            lambda rank=rank: (rank, 2),
        )
        shares.append(list(make(batch_size=2)))
    joined = [sorted(a + b) for a, b in zip(*shares)]
    assert joined == [sorted(batch) for batch in whole]


def train(mixture, hook, losses, start=0, stop=60, stored=None):
    """The tasks of the iterations, and what a checkpoint stores at the end."""
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
    """Task a is learned, the others are not."""
    return 2.0 * 0.9**iteration if name == 'a' else 1.0


def test_difficulty():
    """A task is drawn less as its loss falls."""
    mixture = make(interval=10, ratios=(1, 1, 1))
    train(mixture, TaskMixtureHook(), falling)
    history = mixture.history
    assert len(history) == 8
    for ratios in history[:3]:
        assert ratios == pytest.approx([1 / 3] * 3)
    assert history[7][0] < 0.1
    assert history[7][1] == pytest.approx(history[7][2])
    assert history[7][1] > 0.4
    assert all(sum(ratios) == pytest.approx(1) for ratios in history)


def test_progress():
    mixture = make(interval=10, ratios=(1, 1, 0))
    train(mixture, TaskMixtureHook((0, 0, 1), power=0.0), falling)
    for number, ratios in enumerate(mixture.history[2:], 1):
        assert ratios == pytest.approx(
            [0.5 - number / 12, 0.5 - number / 12, number / 6]
        )


def test_resumed():
    """A run that goes on from a checkpoint draws as one that was not cut."""
    whole, _ = train(make(interval=10), TaskMixtureHook(), falling)
    for cut in (17, 30, 45):
        begun, stored = train(make(interval=10), TaskMixtureHook(), falling, stop=cut)
        ended, _ = train(make(interval=10), TaskMixtureHook(), falling, cut, 60, stored)
        assert begun + ended == whole


def test_weights_of_another_run_bring_no_ratios():
    _, stored = train(make(interval=10), TaskMixtureHook(), falling)
    mixture = make(interval=10)
    train(mixture, TaskMixtureHook(), falling, stop=5, stored=stored)
    assert len(mixture.history) == 2


def test_workers_that_load_too_far_ahead():
    mixture = make(interval=2)
    TaskMixtureHook().before_train(
        SimpleNamespace(iter=0, train_dataloader=SimpleNamespace(batch_sampler=mixture))
    )
    loader = DataLoader(mixture.sampler.dataset, batch_sampler=mixture, num_workers=2)
    with pytest.raises(ValueError, match='interval=2 is below'):
        list(loader)


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(ratios=(1, 1)), 'each of the 3 tasks'),
        (dict(ratios=(1, 1, -1)), 'each of the 3 tasks'),
        (dict(ratios=(0, 0, 0)), 'each of the 3 tasks'),
        (dict(interval=0), 'interval=0'),
        (dict(batch_size=1000), '240 samples'),
    ],
)
def test_bad_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(**kwargs)


def test_bad_parts():
    with pytest.raises(TypeError, match='ConcatDataset.*Task'):
        TaskMixtureSampler(DefaultSampler(Task('a', 9)), 2)
    with pytest.raises(TypeError, match='DefaultSampler.*InfiniteSampler'):
        TaskMixtureSampler(InfiniteSampler(Task('a', 9)), 2)
    with pytest.raises(TypeError, match='list'):
        TaskMixtureHook().before_train(
            SimpleNamespace(train_dataloader=SimpleNamespace(batch_sampler=[]))
        )
    with pytest.raises(ValueError, match='end_ratios'):
        train(make(), TaskMixtureHook((1,)), falling)


def test_set_task():
    assert SetTask('matching')(dict(a=1)) == dict(a=1, task='matching')
