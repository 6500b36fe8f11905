"""Beyond the paper: what a few batches tell of the layers' inputs, and ranks
that share one budget."""
from functools import partial
from typing import Any, Dict, Iterable

import torch
import torch.nn as nn

from mmvlfusion.utils.features import all_tokens_updated

from .attention import LowRankMultiheadAttention
from .linear import gram

# Added to the covariance, in parts of its mean variance, so that it has a root.
_DAMPING = 1e-3


@torch.no_grad()
def input_covariances(module: nn.Module, layers: Dict[str, nn.Linear],
                      batches: Iterable[Any]) -> Dict[str, torch.Tensor]:
    """The second moments of the inputs of linear layers.

    Args:
        module (nn.Module): The model. It runs in evaluation mode: a host's
            model by ``test_step``, another by a call.
        layers (dict[str, nn.Linear]): The layers, as ``linear_layers`` names
            them.
        batches (Iterable): What the model takes.

    Returns:
        dict[str, Tensor]: E[x x^T] by name, (in, in), in double precision. A
        layer that no batch ran through, or whose weight was only read, is left
        out.

    Raises:
        ValueError: If there is no batch.
    """
    sums: Dict[str, torch.Tensor] = {}
    counts: Dict[str, int] = {}

    def record(name: str, _: nn.Module, inputs: tuple, kwargs: dict) -> None:
        # Of a layer its input; of an attention its query, key and value.
        named = (kwargs.get(key) for key in ('input', 'query', 'key', 'value'))
        for x in (*inputs[:3], *named):
            if x is not None:
                x = x.detach().reshape(-1, x.shape[-1]).double()
                sums[name] = sums.get(name, 0) + x.T @ x
                counts[name] = counts.get(name, 0) + len(x)

    handles = []
    for name, layer in layers.items():
        owner = LowRankMultiheadAttention.owner(module, name) or layer
        handles.append(
            owner.register_forward_pre_hook(
                partial(record, name), with_kwargs=True))
    training = module.training
    module.eval()
    run = getattr(module, 'test_step', module)
    empty = True
    try:
        with all_tokens_updated(module):
            for batch in batches:
                run(batch)
                empty = False
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    if empty:
        raise ValueError('calibration has no batch: give one at least.')
    moments = {}
    for name, total in sums.items():
        moment = total / counts[name]
        damping = _DAMPING * moment.diagonal().mean().clamp_min(1e-12)
        moment.diagonal().add_(damping)
        moments[name] = moment
    return moments


def budget_ranks(layers: Dict[str, nn.Linear], ratio: float,
                 rank_multiple: int,
                 covariances: Dict[str, torch.Tensor]) -> Dict[str, int]:
    """Ranks that share one budget among the layers.

    The budget is that of the uniform ranks, 1 / ratio of the layers'
    parameters. It goes, singular value by singular value, to where a parameter
    explains the largest part of its layer's energy (the squared Frobenius norm
    of the weight or, with covariances, of the outputs). A layer whose share
    reaches its full size stays whole.

    Args:
        layers (dict[str, nn.Linear]): The layers by name.
        ratio (float): Parameters of all layers before over after, above 1.
        rank_multiple (int): Ranks grow in steps of this.
        covariances (dict[str, Tensor]): Of the layers' inputs; may be empty.

    Returns:
        dict[str, int]: Rank by name; layers that stay whole are left out.

    Raises:
        ValueError: If the budget leaves a layer no rank.
    """
    steps = []
    full = sum(layer.weight.numel() for layer in layers.values())
    for name, layer in layers.items():
        matrix = layer.weight.detach().double()
        if name in covariances:
            matrix = matrix @ torch.linalg.cholesky(
                covariances[name].to(matrix))
        energy = torch.linalg.eigvalsh(gram(matrix)).flip(0).clamp_min(0)
        share = energy / energy.sum().clamp_min(1e-30)
        cost = rank_multiple * (layer.in_features + layer.out_features)
        for i, chunk in enumerate(share.split(rank_multiple)):
            steps.append((-chunk.sum().item() / cost, i, name, cost))
    ranks = dict.fromkeys(layers, 0)
    budget, whole = full / ratio, set()
    for _, _, name, cost in sorted(steps):
        size = layers[name].weight.numel()
        spent = ranks[name] // rank_multiple * cost
        cost = min(cost, size - spent)
        if name in whole or cost > budget:
            continue
        budget -= cost
        ranks[name] += rank_multiple
        if spent + cost == size:
            whole.add(name)
    empty = [name for name, rank in ranks.items() if not rank]
    if empty:
        raise ValueError(
            f'ratio={ratio} with rank_multiple={rank_multiple} leaves '
            f'{empty[0]} rank 0 in the budget: lower them, or keep the layer '
            'whole with exclude.')
    return {name: rank for name, rank in ranks.items() if name not in whole}
