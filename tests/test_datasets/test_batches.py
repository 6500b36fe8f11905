"""Training data with fewer samples than a batch."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader, IterableDataset

from mmvlfusion.datasets.utils.batches import check_batches

LOOPS = dict(
    epochs=lambda loader: EpochBasedTrainLoop(None, loader, max_epochs=2),
    iterations=lambda loader: IterBasedTrainLoop(None, loader, max_iters=2),
)


def make_loader(sampler=DefaultSampler, batch_size=64, world_size=1, **kwargs):
    """Make the loader of a rank for 20 samples."""
    data = torch.utils.data.TensorDataset(torch.arange(20))
    sampler = sampler(data)
    if world_size > 1:
        sampler.num_samples = sampler.total_size = 20 // world_size
    kwargs = {'drop_last': True, **kwargs}
    return DataLoader(data, batch_size=batch_size, sampler=sampler, **kwargs)


@pytest.mark.parametrize('loop', list(LOOPS))
@pytest.mark.parametrize('size', [dict(), dict(batch_size=8, world_size=4)])
def test_rejects_an_epoch_without_batches(loop, size):
    with pytest.raises(ValueError, match='no batch: 20 samples.*drop_last=True'):
        check_batches(LOOPS[loop](make_loader(**size)))


class Stream(IterableDataset):
    """A data set without a length."""

    def __iter__(self):
        return iter(range(20))


@pytest.mark.parametrize('loop', list(LOOPS))
def test_accepts_small_batches(loop):
    for kwargs in (dict(batch_size=20), dict(drop_last=False)):
        check_batches(LOOPS[loop](make_loader(**kwargs)))


def test_accepts_data_without_an_end():
    check_batches(LOOPS['iterations'](make_loader(InfiniteSampler)))
    check_batches(LOOPS['iterations'](DataLoader(Stream(), 64, drop_last=True)))
