"""Statistics of layers' inputs on calibration data, an extension of PELA."""

from functools import partial
from typing import Any, Dict, Iterable

import torch
import torch.nn as nn

from ..utils import packed_attention

# Added to the diagonal of a covariance, relative to its mean variance, so that
# it has a root.
DAMPING = 1e-3
MIN_VARIANCE = 1e-12


@torch.no_grad()
def input_covariances(
    module: nn.Module, layers: Dict[str, nn.Linear], batches: Iterable[Any]
) -> Dict[str, torch.Tensor]:
    """Compute the second moments of the inputs of linear layers.

    Args:
        module (nn.Module): The model. It runs in evaluation mode, a host's
            model by ``test_step``, any other by a call.
        layers (dict[str, nn.Linear]): The layers, with the names of
            ``linear_layers``.
        batches (Iterable): Inputs of the model.

    Returns:
        dict[str, torch.Tensor]: E[x x^T] by name, (in, in), in double
        precision, without layers that did not run.

    Raises:
        ValueError: If there is no batch.
    """
    sums: Dict[str, torch.Tensor] = {}
    counts: Dict[str, int] = {}

    def record(name: str, _: nn.Module, inputs: tuple, kwargs: dict) -> None:
        # A linear layer has one input, an attention query, key and value.
        named = (kwargs.get(key) for key in ('input', 'query', 'key', 'value'))
        for x in (*inputs[:3], *named):
            if x is not None:
                x = x.detach().reshape(-1, x.shape[-1]).double()
                sums[name] = sums.get(name, 0) + x.T @ x
                counts[name] = counts.get(name, 0) + len(x)

    handles = []
    for name, layer in layers.items():
        owner = packed_attention(module, name) or layer
        handles.append(
            owner.register_forward_pre_hook(partial(record, name), with_kwargs=True)
        )
    training = module.training
    module.eval()
    run = getattr(module, 'test_step', module)
    is_empty = True
    try:
        for batch in batches:
            run(batch)
            is_empty = False
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    if is_empty:
        raise ValueError('calibration has no batch: give at least one.')
    moments = {}
    for name, total in sums.items():
        moment = total / counts[name]
        variance = moment.diagonal().mean().clamp_min(MIN_VARIANCE)
        moment.diagonal().add_(DAMPING * variance)
        moments[name] = moment
    return moments
