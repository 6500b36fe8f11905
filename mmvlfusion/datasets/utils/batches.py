"""A check that data loaders have batches."""

from typing import Any, NoReturn

from mmengine.dataset import DefaultSampler
from mmengine.dist import get_world_size
from mmengine.runner import BaseLoop, IterBasedTrainLoop


def check_batches(loop: BaseLoop) -> None:
    """Check that an epoch of the training data has a batch.

    Loaders without a length, and samplers without an end in training that
    counts iterations, are not checked.

    Args:
        loop (BaseLoop): The training loop.

    Raises:
        ValueError: If an epoch has no batch.
    """
    loader = loop.dataloader
    try:
        number = len(loader)
    except TypeError:
        return
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    ends = isinstance(sampler, DefaultSampler) or not isinstance(
        loop, IterBasedTrainLoop
    )
    if not number and ends:
        raise_no_batch(loader.batch_sampler, len(loader.dataset))


def raise_no_batch(batches: Any, num_samples: int) -> NoReturn:
    """Raise the error for an epoch without a batch.

    Args:
        batches (Any): The batch sampler.
        num_samples (int): Number of samples of the data set.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f'An epoch of the training data has no batch: {num_samples} samples on '
        f'{get_world_size()} processes, batch_size={batches.batch_size}, '
        f'drop_last={getattr(batches, "drop_last", False)}. Lower '
        'train_dataloader.batch_size, or set drop_last=False.'
    )
