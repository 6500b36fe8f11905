"""Ranks by error under a budget."""

import itertools

import numpy as np
import pytest

from mmvlfusion.models.low_rank.presets import tower_of
from mmvlfusion.models.low_rank.ranks import (
    Budget,
    budget_ranks,
    make_options,
    parse_budgets,
    solve_budget,
)


def options_of(seed, channels=(16, 16)):
    rng = np.random.default_rng(seed)
    size, unit = channels[0] * channels[1], sum(channels)
    ranks = np.arange(1, min(channels) + 1)
    energies = np.sort(rng.random(len(ranks)) ** 4)[::-1]
    errors = 1 - np.cumsum(energies) / energies.sum()
    return make_options(ranks, ranks * unit, errors, size)


def total(options, ranks, values):
    """Sum a column of the choices of all layers."""
    result = 0
    for name, layer in options.items():
        index = list(layer.ranks).index(ranks.get(name, 0))
        result += getattr(layer, values)[index]
    return result


@pytest.mark.parametrize('part', [0.2, 0.4, 0.6, 0.9])
def test_knapsack_is_close_to_the_best_choice(part):
    options = {str(i): options_of(i) for i in range(4)}
    ranks = solve_budget(options, Budget('params', part))
    limit = part * sum(layer.costs[-1] for layer in options.values())
    assert total(options, ranks, 'costs') <= limit
    best = min(
        sum(layer.errors[i] for layer, i in zip(options.values(), choice))
        for choice in itertools.product(
            *(range(len(layer.ranks)) for layer in options.values())
        )
        if sum(layer.costs[i] for layer, i in zip(options.values(), choice)) <= limit
    )
    assert total(options, ranks, 'errors') <= best + 0.03


def test_knapsack_uses_the_jump_to_the_dense_layer():
    """A dense layer has no error, and costs less than its largest ranks."""
    flat = make_options(
        np.arange(1, 9), np.arange(1, 9) * 16, np.linspace(0.9, 0.8, 8), 64
    )
    steep = make_options(
        np.arange(1, 9), np.arange(1, 9) * 16, 0.1 ** np.arange(1, 9), 64
    )
    assert list(flat.ranks) == [1, 2, 3, 0]
    ranks = solve_budget(dict(flat=flat, steep=steep), Budget('params', 0.63))
    assert ranks == dict(steep=1)


def test_budget_that_cannot_be_met_says_what_can():
    with pytest.raises(ValueError, match=r'0.1250 of the cost.*params=0.125 or more'):
        solve_budget(dict(a=options_of(0)), Budget('params', 0.1))


def test_one_tolerance_for_each_tower():
    names = ['backbone.a', 'text_encoder.a', 'fusion.a']
    assert [tower_of(name) for name in names] == ['vision', 'text', 'fusion']
    options = {name: options_of(3) for name in names}
    ranks = budget_ranks(options, parse_budgets(['vision:error=0.5', 'text:error=0.9']))
    assert ranks['backbone.a'] > ranks['text_encoder.a']
    assert 'fusion.a' not in ranks
    layer = options['backbone.a']
    index = list(layer.ranks).index(ranks['backbone.a'])
    assert layer.errors[index] <= 0.25 < layer.errors[index - 1]
