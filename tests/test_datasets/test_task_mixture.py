"""Batches of several tasks."""

from collections import Counter

import pytest

from mmvlfusion.datasets import SetTask

from ..helpers import make_task_mixture


def tasks_of(mixture):
    """Return the set of tasks of each batch."""
    dataset = mixture.sampler.dataset
    return [{dataset[i][0] for i in batch} for batch in mixture]


def test_each_batch_has_one_task():
    """The frequency of a task follows its number of samples."""
    mixture = make_task_mixture(sizes=(400, 800, 1200))
    tasks = tasks_of(mixture)
    assert len(tasks) == len(mixture) == 600
    assert all(len(task) == 1 for task in tasks)
    counts = Counter(task for (task,) in tasks)
    assert [counts[name] / 600 for name in 'abc'] == pytest.approx(
        [1 / 6, 1 / 3, 1 / 2], abs=0.05
    )


def test_ratios_set_task_frequencies():
    counts = Counter(
        task
        for (task,) in tasks_of(
            make_task_mixture(sizes=(400, 800, 1200), ratios=(3, 1, 0))
        )
    )
    assert counts['c'] == 0
    assert counts['a'] / 600 == pytest.approx(0.75, abs=0.05)


def test_samples_repeat_only_after_all_were_drawn():
    """All samples of a task are drawn before one is repeated."""
    seen = Counter(
        index
        for batch in make_task_mixture(ratios=(1, 0, 0), batch_size=5)
        for index in batch
    )
    assert len(seen) == 40 and set(seen.values()) == {6}


def test_order_follows_seed_and_epoch():
    first, other = make_task_mixture(), make_task_mixture(seed=1)
    assert list(first) == list(make_task_mixture()) != list(other)
    again = make_task_mixture()
    again.sampler.set_epoch(1)
    assert list(again) != list(first)


def test_ranks_split_the_batches(monkeypatch):
    """Two ranks draw the same tasks, and together the samples of one process."""
    whole = list(make_task_mixture(batch_size=4))
    per_rank = []
    for rank in range(2):
        monkeypatch.setattr(
            'mmvlfusion.datasets.samplers.task_mixture.get_dist_info',
            lambda rank=rank: (rank, 2),
        )
        per_rank.append(list(make_task_mixture(batch_size=2)))
    joined = [sorted(a + b) for a, b in zip(*per_rank)]
    assert joined == [sorted(batch) for batch in whole]


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
def test_rejects_bad_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_task_mixture(**kwargs)


def test_set_task_adds_field():
    assert SetTask('matching')(dict(a=1)) == dict(a=1, task='matching')
