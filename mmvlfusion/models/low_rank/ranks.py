"""Ranks of low-rank layers: uniform as in PELA, or by error under a budget."""

from fractions import Fraction
from typing import Dict, NamedTuple, Optional, Sequence, Union

import numpy as np
import torch.nn as nn

from mmvlfusion.utils.checks import check_choice, check_number

from .calibration import features_of
from .presets import TOWERS, tower_of

BUDGETS = ('params', 'macs', 'latency', 'error')
# Doublings and bisections of the price of a unit of cost.
NUM_DOUBLINGS, NUM_BISECTIONS = 200, 100


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
    layers: Dict[str, nn.Module], ratio: float, rank_multiple: int
) -> Dict[str, int]:
    """Compute the paper's rank of each layer, rounded down to a multiple.

    Args:
        layers (dict[str, nn.Module]): The layers by name.
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
        out_features, in_features = features_of(layer)
        # A grouped layer has the factors of an ungrouped one, but fewer weights.
        rank = paper_rank(
            in_features, out_features, ratio * getattr(layer, 'groups', 1)
        )
        ranks[name] = rank - rank % rank_multiple
        if not ranks[name]:
            raise ValueError(
                f'ratio={ratio} gives {name} ({out_features} x '
                f'{in_features}) rank {rank}, which '
                f'rank_multiple={rank_multiple} rounds to 0: lower them, or '
                'keep the layer dense with exclude or min_features.'
            )
    return ranks


class Budget(NamedTuple):
    """Limit of the compressed layers.

    Attributes:
        kind (str): ``'params'``, ``'macs'``, ``'latency'`` or ``'error'``.
        value (float): The part of the dense layers' cost; for ``'error'``, the
            largest relative error of a layer's outputs.
    """

    kind: str
    value: float

    def __str__(self) -> str:
        return f'{self.kind}={self.value:g}'


def parse_budgets(
    text: Union[str, Sequence[str], None],
) -> Dict[Optional[str], Budget]:
    """Parse a budget, or one for each tower.

    Args:
        text (str | Sequence[str], optional): Such as ``'params=0.5'``, or
            ``['vision:error=0.1', 'text:error=0.05']``.

    Returns:
        dict[str | None, Budget]: The budget by tower; None is all layers.

    Raises:
        ValueError: If the kind is not known, the number not between 0 and 1, or a
            tower not known or not unique.
    """
    if text is None:
        return {}
    budgets: Dict[Optional[str], Budget] = {}
    for part in [text] if isinstance(text, str) else text:
        tower, separator, rest = part.rpartition(':')
        if separator:
            check_choice('tower', tower, list(TOWERS))
        if (tower or None) in budgets:
            raise ValueError(f'budget={text!r} has two budgets for the same layers.')
        budgets[tower or None] = _parse_budget(rest)
    if None in budgets and len(budgets) > 1:
        raise ValueError(
            f'budget={text!r} has a budget of all layers next to one of a tower: give '
            f'each tower its own, such as vision:{budgets[None]}.'
        )
    return budgets


def _parse_budget(text: str) -> Budget:
    kind, separator, value = text.partition('=')
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not separator or number < 0:
        raise ValueError(
            f'budget={text!r} must be KIND=NUMBER with one of {list(BUDGETS)}, such '
            "as 'params=0.5' for half of the parameters."
        )
    check_choice('budget', kind, BUDGETS)
    if not 0 < number < 1:
        raise ValueError(
            f'budget={text!r} must have a number between 0 and 1, which is the part '
            "of the dense layers' cost (or, for 'error', the relative error of a "
            "layer's outputs)."
        )
    return Budget(kind, number)


class Options(NamedTuple):
    """The choices for one layer: each rank, and at last the dense layer.

    Attributes:
        ranks (np.ndarray): The ranks, ascending; 0 for the dense layer.
        costs (np.ndarray): Cost of each.
        errors (np.ndarray): Error of each, that of the dense layer is 0.
    """

    ranks: np.ndarray
    costs: np.ndarray
    errors: np.ndarray


def make_options(
    ranks: np.ndarray, costs: np.ndarray, errors: np.ndarray, dense_cost: float
) -> Options:
    """Collect the choices of a layer that are cheaper than the dense one.

    Args:
        ranks (np.ndarray): The ranks, ascending.
        costs (np.ndarray): Cost of each.
        errors (np.ndarray): Error of each.
        dense_cost (float): Cost of the dense layer.

    Returns:
        Options: The choices.
    """
    cheaper = costs < dense_cost
    return Options(
        np.append(ranks[cheaper], 0),
        np.append(costs[cheaper], dense_cost).astype(float),
        np.append(errors[cheaper], 0.0),
    )


def solve_budget(options: Dict[str, Options], budget: Budget) -> Dict[str, int]:
    """Choose a rank for each layer, with the smallest sum of errors in a budget.

    It is a multiple-choice knapsack. Each layer takes the choice with the smallest
    error + price * cost, and the price is bisected (BALF, arXiv 2509.25136). Then
    the remaining budget is spent step by step where it reduces the error most.
    The dense layer is one of the choices, although its cost is below that of the
    largest ranks.

    Args:
        options (dict[str, Options]): The choices by name of the layer.
        budget (Budget): The budget.

    Returns:
        dict[str, int]: The rank by name, without layers that stay dense.

    Raises:
        ValueError: If no choice meets the budget.
    """
    if budget.kind == 'error':
        return _within_tolerance(options, budget.value)
    total = sum(layer.costs[-1] for layer in options.values())
    limit = budget.value * total
    smallest = sum(layer.costs.min() for layer in options.values())
    if smallest > limit:
        raise ValueError(
            f'budget={str(budget)!r} cannot be met: the smallest ranks still have '
            f'{smallest / total:.4f} of the cost of the dense layers. Set '
            f'{budget.kind}={np.ceil(smallest / total * 1e4) / 1e4:g} or more, lower '
            'rank_multiple, or exclude fewer layers.'
        )

    def choose(price: float) -> Dict[str, int]:
        return {
            name: int(np.argmin(layer.errors + price * layer.costs))
            for name, layer in options.items()
        }

    def cost(choice: Dict[str, int]) -> float:
        return sum(options[name].costs[i] for name, i in choice.items())

    high = 1 / total
    for _ in range(NUM_DOUBLINGS):
        if cost(choose(high)) <= limit:
            break
        high *= 2
    else:
        return _ranks(options, {k: int(v.costs.argmin()) for k, v in options.items()})
    low = 0.0
    for _ in range(NUM_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(choose(middle)) <= limit else (middle, high)
    choice = choose(high)
    _spend_rest(options, choice, limit - cost(choice))
    return _ranks(options, choice)


def _spend_rest(
    options: Dict[str, Options], choice: Dict[str, int], rest: float
) -> None:
    """Improve a choice step by step until nothing fits, in place."""
    while True:
        best, gain = None, 0.0
        for name, layer in options.items():
            now = choice[name]
            step = layer.costs - layer.costs[now]
            gains = np.where(step <= rest, layer.errors[now] - layer.errors, 0)
            gains = gains / np.maximum(step, 1e-3 * layer.costs[-1])
            index = int(gains.argmax())
            if gains[index] > gain:
                best, gain = (name, index), gains[index]
        if best is None:
            return
        name, index = best
        rest -= options[name].costs[index] - options[name].costs[choice[name]]
        choice[name] = index


def _within_tolerance(options: Dict[str, Options], limit: float) -> Dict[str, int]:
    """The cheapest choice of each layer with a relative error within a limit."""
    choice = {}
    for name, layer in options.items():
        fits = np.where(layer.errors <= limit**2, layer.costs, np.inf)
        choice[name] = int(fits.argmin())
    return _ranks(options, choice)


def _ranks(options: Dict[str, Options], choice: Dict[str, int]) -> Dict[str, int]:
    ranks = {name: int(options[name].ranks[i]) for name, i in choice.items()}
    return {name: rank for name, rank in ranks.items() if rank}


def budget_ranks(
    options: Dict[str, Options], budgets: Dict[Optional[str], Budget]
) -> Dict[str, int]:
    """Choose the ranks of all layers, tower by tower.

    Layers of a tower without a budget stay dense.

    Args:
        options (dict[str, Options]): The choices by name of the layer.
        budgets (dict[str | None, Budget]): See ``parse_budgets``.

    Returns:
        dict[str, int]: The rank by name, without layers that stay dense.

    Raises:
        ValueError: If a tower has no layer, or no choice meets a budget.
    """
    ranks: Dict[str, int] = {}
    for tower, budget in budgets.items():
        part = {
            name: layer
            for name, layer in options.items()
            if tower is None or tower_of(name) == tower
        }
        if not part:
            raise ValueError(
                f'budget={tower}:{budget} has no layer: the towers of this model are '
                f'{sorted({tower_of(name) for name in options})}.'
            )
        ranks.update(solve_budget(part, budget))
    return {name: ranks[name] for name in options if name in ranks}
