"""Ranks of low-rank layers: uniform as in PELA, or under one budget."""

from fractions import Fraction
from typing import Dict, Optional

import torch
import torch.nn as nn

from mmvlfusion.utils.checks import check_number

from .linear import gram

# Smallest energy that shares are computed from.
MIN_ENERGY = 1e-30


def paper_rank(in_features: int, out_features: int, ratio: float) -> int:
    """Compute the rank at which two factors have ``1 / ratio`` of the
    parameters (PELA, Section 3.5).

    Args:
        in_features (int): Channels of the input.
        out_features (int): Channels of the output.
        ratio (float): Parameters before over after.

    Returns:
        int: floor(in * out / (ratio * (in + out))).
    """
    # A quotient of floats may be just below a whole number.
    exact_ratio = Fraction(str(ratio))
    return in_features * out_features // (exact_ratio * (in_features + out_features))


def uniform_ranks(
    layers: Dict[str, nn.Linear], ratio: float, rank_multiple: int
) -> Dict[str, int]:
    """Compute the paper's rank of each layer, rounded down to a multiple.

    Args:
        layers (dict[str, nn.Linear]): The layers by name.
        ratio (float): Parameters before over after, above 1.
        rank_multiple (int): Ranks are rounded down to a multiple of this.

    Returns:
        dict[str, int]: The rank by name.

    Raises:
        ValueError: If the ratio is not above 1, or a rank would be 0.
    """
    check_number('rank_multiple', rank_multiple, 1, integer=True)
    check_number('ratio', ratio, 0)
    if ratio <= 1:
        raise ValueError(
            f'ratio={ratio} saves no parameters: it is their '
            'number before over that after, so it must be above '
            '1.'
        )
    ranks = {}
    for name, layer in layers.items():
        rank = paper_rank(layer.in_features, layer.out_features, ratio)
        ranks[name] = rank - rank % rank_multiple
        if not ranks[name]:
            raise ValueError(
                f'ratio={ratio} gives {name} ({layer.out_features} x '
                f'{layer.in_features}) rank {rank}, which '
                f'rank_multiple={rank_multiple} rounds to 0: lower them, or '
                'keep the layer dense with exclude or min_features.'
            )
    return ranks


def budget_ranks(
    layers: Dict[str, nn.Linear],
    ratio: float,
    rank_multiple: int,
    covariances: Dict[str, torch.Tensor],
) -> Dict[str, int]:
    """Distribute the parameters of the uniform ranks over the layers.

    An extension of PELA. The budget is 1 / ratio of the layers' parameters. It
    is spent singular value by singular value where a parameter explains the
    largest part of its layer's energy (the squared Frobenius norm of the
    weight or, with covariances, of the outputs). A layer whose factors would
    reach its full size stays dense.

    Args:
        layers (dict[str, nn.Linear]): The layers by name.
        ratio (float): Parameters of all layers before over after, above 1.
        rank_multiple (int): Ranks are multiples of this.
        covariances (dict[str, torch.Tensor]): Covariance of a layer's inputs
            by name; may be empty.

    Returns:
        dict[str, int]: The rank by name, without layers that stay dense.

    Raises:
        ValueError: If the budget gives a layer rank 0.
    """
    steps = []
    for name, layer in layers.items():
        share = _energy_shares(layer.weight, covariances.get(name))
        cost = rank_multiple * (layer.in_features + layer.out_features)
        for i, chunk in enumerate(share.split(rank_multiple)):
            steps.append((-chunk.sum().item() / cost, i, name, cost))
    ranks = dict.fromkeys(layers, 0)
    dense = set()
    budget = sum(layer.weight.numel() for layer in layers.values()) / ratio
    for _, _, name, cost in sorted(steps):
        size = layers[name].weight.numel()
        spent = ranks[name] // rank_multiple * cost
        cost = min(cost, size - spent)
        if name in dense or cost > budget:
            continue
        budget -= cost
        ranks[name] += rank_multiple
        if spent + cost == size:
            dense.add(name)
    empty = [name for name, rank in ranks.items() if not rank]
    if empty:
        raise ValueError(
            f'ratio={ratio} with rank_multiple={rank_multiple} gives '
            f'{empty[0]} rank 0: lower them, or keep the layer dense with '
            'exclude.'
        )
    return {name: rank for name, rank in ranks.items() if name not in dense}


def _energy_shares(
    weight: torch.Tensor, covariance: Optional[torch.Tensor]
) -> torch.Tensor:
    """Share of each singular value in the energy, in descending order."""
    matrix = weight.detach().double()
    if covariance is not None:
        matrix = matrix @ torch.linalg.cholesky(covariance.to(matrix))
    energy = torch.linalg.eigvalsh(gram(matrix)).flip(0).clamp_min(0)
    return energy / energy.sum().clamp_min(MIN_ENERGY)
