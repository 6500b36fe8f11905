"""Compression and merging of any module, without a host."""

import copy

import pytest
import torch
import torch.nn as nn
from mmcv.cnn.bricks.wrappers import Linear as MMCVLinear

from mmvlfusion.models.low_rank import LowRankLinear, compress_, merge_
from mmvlfusion.models.utils import linear_layers


class Scaled(nn.Linear):
    """A subclass with its own forward pass."""

    def forward(self, x):
        return 2 * super().forward(x)


class Model(nn.Module):
    """A model with linear layers of all kinds."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 24)
        self.conv = nn.Conv1d(24, 24, 1)
        self.norm = nn.LayerNorm(24)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(24, 48), nn.GELU(), MMCVLinear(48, 24))
            for _ in range(2)
        )
        shared = nn.Linear(24, 24)
        self.branches = nn.ModuleList([shared, shared])
        self.scaled = Scaled(24, 24)
        self.tied = nn.Linear(24, 50, bias=False)
        self.tied.weight = self.embed.weight
        self.head = nn.Linear(24, 9)

    def forward(self, tokens):
        x = self.norm(self.embed(tokens))
        x = x + self.conv(x.mT).mT
        for block in self.blocks:
            x = x + block(x)
        x = self.branches[1](self.branches[0](x))
        return self.tied(self.scaled(x)), self.head(x)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


TOKENS = torch.arange(12).view(2, 6)


def test_compresses_only_plain_linear_layers(model):
    names = ['blocks.0.0', 'blocks.0.2', 'blocks.1.0', 'blocks.1.2', 'branches.0']
    assert sorted(linear_layers(model)) == [*names, 'head']
    reports = compress_(model, 2.0)
    assert [r.name for r in reports] == names
    assert reports[0][1:4] == (48, 24, 8)
    low = {n for n, m in model.named_modules() if isinstance(m, LowRankLinear)}
    assert low == set(names)
    assert model.branches[0] is model.branches[1]
    assert model.tied.weight is model.embed.weight
    model(TOKENS)


def test_reports_relative_errors(model):
    dense = copy.deepcopy(model)
    for report in compress_(model, 1.5):
        weight = dense.get_submodule(report.name).weight
        change = model.get_submodule(report.name).weight - weight
        assert report.error == pytest.approx(
            (change.norm() / weight.norm()).item(), rel=1e-4
        )


def test_merge_restores_dense_layers_and_outputs(model):
    before = {name: type(m) for name, m in model.named_modules()}
    compress_(model, 2.0)
    low = model(TOKENS)
    parameters = sum(p.numel() for p in model.parameters())
    merge_(model)
    for ours, theirs in zip(model(TOKENS), low):
        torch.testing.assert_close(ours, theirs)
    assert {**before, 'blocks.0.2': nn.Linear, 'blocks.1.2': nn.Linear} == {
        name: type(m) for name, m in model.named_modules()
    }
    assert sum(p.numel() for p in model.parameters()) > parameters


def test_exclude_accepts_patterns_and_presets(model):
    reports = compress_(copy.deepcopy(model), exclude=[r'^blocks\.0', 'branch'])
    assert [r.name for r in reports] == ['blocks.1.0', 'blocks.1.2']
    reports = compress_(copy.deepcopy(model), exclude='vit', min_features=1)
    assert 'head' not in [r.name for r in reports]
    reports = compress_(copy.deepcopy(model), exclude=['vit', 'blocks'], min_features=1)
    assert [r.name for r in reports] == ['branches.0']
    reports = compress_(model, 1.1, min_features=1)
    assert 'head' in [r.name for r in reports]


@pytest.mark.parametrize('name', ['cls', 'cls_head', 'cls_head_m', 'cls_m'])
def test_bert_preset_keeps_heads(name):
    """ALBEF's entailment heads are called cls_head and cls_head_m."""
    model = nn.ModuleDict(
        {
            'layer': nn.Linear(64, 64),
            name: nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)),
        }
    )
    assert [r.name for r in compress_(model, 2.0, 'bert')] == ['layer']


def test_rank_is_rounded_to_multiple(model):
    reports = compress_(model, 1.2, rank_multiple=4, exclude=['branches'])
    assert {r.rank for r in reports} == {12}  # 13 without.


def test_frozen_layers_stay_frozen(model):
    model.blocks[0].requires_grad_(False)
    compress_(model, 2.0)
    assert not model.blocks[0][0].up.requires_grad
    assert not model.blocks[0][0].bias.requires_grad
    assert model.blocks[1][0].up.requires_grad


def test_calibration_reduces_output_error(model):
    batches = [torch.randint(0, 50, (8, 6)) for _ in range(8)]
    calibrated, target = copy.deepcopy(model), model(TOKENS)[1]
    plain = copy.deepcopy(model)
    compress_(plain, 4.0)
    compress_(calibrated.train(), 4.0, calibration=batches)
    assert calibrated.training
    errors = [(m(TOKENS)[1] - target).norm() for m in (plain, calibrated)]
    assert errors[1] < errors[0]
    with pytest.raises(ValueError, match='no batch'):
        compress_(model, calibration=[])


def test_calibration_includes_query_key_and_value():
    """Query, key and value may be positional or keyword arguments."""
    from mmvlfusion.models.low_rank.calibration import input_statistics

    torch.manual_seed(0)
    model = nn.Module()
    model.attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, y = torch.randn(2, 5, 8), torch.randn(2, 5, 8) + 1
    for call in (
        lambda _: model.attention(x, y, y),
        lambda _: model.attention(query=x, key=y, value=y),
    ):
        model.forward = call
        statistics = input_statistics(model, linear_layers(model), [0])
        found = statistics['attention.in_proj']
        tokens = [a.flatten(0, 1).double() for a in (x, y, y)]
        expected = sum(a.T.cov(correction=0) for a in tokens) / 3
        torch.testing.assert_close(
            found.covariance()[0], expected, rtol=1e-5, atol=1e-6
        )
        for part, a in zip(found.parts, tokens):
            torch.testing.assert_close(part.mean()[0], a.mean(0))


@pytest.mark.parametrize('rank_multiple', [1, 3])
@pytest.mark.parametrize('calibrate', [True, False])
def test_budget_adapts_ranks(model, calibrate, rank_multiple):
    with torch.no_grad():  # One layer already has a low rank.
        model.blocks[0][0].weight[3:] = 0
    before = {
        name: x.weight.numel()
        for name, x in linear_layers(model).items()
        if name != 'head'
    }
    reports = compress_(
        model,
        budget='params=0.5',
        rank_multiple=rank_multiple,
        calibration=[TOKENS] if calibrate else None,
    )
    size = dict(before)
    for r in reports:
        size[r.name] = r.rank * (r.in_features + r.out_features)
        assert size[r.name] < before[r.name]
        assert r.rank % rank_multiple == 0
    budget = sum(before.values()) / 2
    assert 0.85 * budget < sum(size.values()) <= budget
    ranks = {r.name: r.rank for r in reports}
    assert ranks['blocks.0.0'] == 3 < ranks['blocks.1.0']


def test_rejects_bad_input(model):
    cases = [
        (dict(ratio=1.0), 'ratio=1.0 saves no parameters'),
        (dict(ratio=0.5), 'ratio=0.5 saves no parameters'),
        (dict(ratio=100.0), r'ratio=100.0 gives blocks.0.0 \(48 x 24\) rank 0'),
        (dict(rank_multiple=16), 'rank_multiple=16 rounds to 0'),
        (dict(rank_multiple=0), 'rank_multiple=0 must be'),
        (dict(exclude=['block', 'nothing']), "'nothing', which matches no"),
        (dict(exclude='vitt'), "exclude='vitt' is not a preset"),
        (dict(min_features=100), 'Model has no layer to compress'),
        (dict(method='most'), "method='most' is not one of"),
        (dict(method='whiten'), "method='whiten' fits .* set calibration"),
        (dict(budget='macs=0.5'), 'set calibration'),
        (dict(budget='params=0.5', search='features'), 'set calibration'),
        (dict(search='x'), "search='x' is not one of"),
        (dict(tuning=2), "tuning=2 needs method='sequential'"),
        (dict(budget='params'), "budget='params' must be KIND=NUMBER"),
        (dict(budget='size=0.5'), "budget='size' is not one of"),
        (dict(budget='params=2'), 'a number between 0 and 1'),
        (dict(budget=['sound:params=0.5']), "tower='sound' is not one of"),
        (dict(budget=['params=0.5', 'text:params=0.5']), 'next to one of a tower'),
        (dict(budget=['text:params=0.5']), "has no layer: .*'fusion'"),
        (
            dict(budget='params=0.02'),
            r"'params=0.02' cannot be met.* 0.0648 of the cost.* Set params=0.0649",
        ),
    ]
    before = copy.deepcopy(model.state_dict())
    for kwargs, message in cases:
        with pytest.raises(ValueError, match=message):
            compress_(model, **kwargs)
    assert list(before) == list(model.state_dict())  # The model is unchanged.
    for layer in (nn.Linear(20, 20), nn.MultiheadAttention(20, 2)):
        with pytest.raises(ValueError, match='is a layer itself'):
            compress_(layer)


def test_model_without_linear_layers_is_named():
    with pytest.raises(ValueError, match='Convolutions are not compressed'):
        compress_(nn.Sequential(nn.Conv2d(3, 24, 3)))
