"""Statistics of inputs, sequential calibration, and errors of a forward pass."""

import copy

import pytest
import torch
import torch.nn as nn

from mmvlfusion.models.low_rank import (
    LowRankLinear,
    compress_,
    factorize,
    latency,
    merge_,
)
from mmvlfusion.models.low_rank.calibration import (
    InputStatistics,
    Moments,
    input_statistics,
)
from mmvlfusion.models.low_rank.fitting import fit
from mmvlfusion.models.low_rank.linear import decompose
from mmvlfusion.models.low_rank.sequential import block_of
from mmvlfusion.models.utils import linear_layers


class Block(nn.Module):
    """A residual block with a mask of tokens."""

    def __init__(self, width=32):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x, attention_mask=None):
        return x + self.fc2(self.fc1(self.norm(x)).tanh())


class Encoder(nn.Module):
    """Blocks that pass the mask on."""

    def __init__(self, depth=3):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(depth))

    def forward(self, batch):
        x, mask = batch
        for layer in self.layers:
            x = layer(x, attention_mask=mask)
        return x


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder()


def make_batches(count, padding=0.0):
    torch.manual_seed(1)
    mix = torch.randn(32, 32) * torch.logspace(0, -2, 32)
    batches = []
    for _ in range(count):
        x = torch.randn(8, 10, 32) @ mix.T + 0.5
        mask = torch.ones(8, 10, dtype=torch.long)
        if padding:
            mask[:, 6:] = 0
            x[:, 6:] = padding
        batches.append((x, mask))
    return batches


def output_error(model, dense, batches):
    with torch.no_grad():
        pairs = [(model(b), dense(b)) for b in batches]
    return sum(((x - y) ** 2).sum() for x, y in pairs).item()


@pytest.mark.parametrize('shape', [(24, 16), (16, 24)])
def test_decomposition_is_exact_for_deficient_inputs(shape):
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64)
    x = torch.randn(100, 5, dtype=torch.float64) @ torch.randn(
        5, shape[1], dtype=torch.float64
    )
    energies, basis = decompose(weight, x.T @ x / 100)
    torch.testing.assert_close(
        basis.T @ basis, torch.eye(min(shape), dtype=torch.float64)
    )
    assert (energies[:-1] >= energies[1:] - 1e-12).all()
    for rank in (3, 5, 9):
        down, up = factorize(weight, rank, x.T @ x / 100)
        error = (x @ (weight - up @ down).T).square().sum() / 100
        assert error.item() == pytest.approx(energies[rank:].sum().item(), abs=1e-9)
    assert down.shape == (9, shape[1]) and torch.isfinite(down).all()


def test_moments_of_batches_with_large_mean():
    torch.manual_seed(0)
    x = torch.randn(2, 60, 5) + 300
    y = 0.5 * x + torch.randn(2, 60, 5)
    moments = Moments()
    for part in range(0, 60, 20):
        moments.add(x[:, part : part + 20], y[:, part : part + 20])
    for group in range(2):
        a, b = x[group].double(), y[group].double()
        torch.testing.assert_close(
            moments.covariance()[group], a.T.cov(correction=0), rtol=1e-4, atol=1e-4
        )
        cross = (b - b.mean(0)).T @ (a - a.mean(0)) / 60
        found = moments.covariance(True, 'target', 'x')[group]
        torch.testing.assert_close(found, cross, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            moments.covariance(False)[group], a.T @ a / 60, rtol=1e-6, atol=0.0
        )


def test_whitening_corrects_the_bias(encoder):
    """The mean of each output stays that of the dense layer."""
    batches, dense = make_batches(4), copy.deepcopy(encoder)
    compress_(encoder, 4.0, calibration=batches)
    tokens = torch.cat([dense.layers[0].norm(x) for x, _ in batches])
    difference = encoder.layers[0].fc1(tokens) - dense.layers[0].fc1(tokens)
    assert difference.mean((0, 1)).abs().max() < 1e-4
    assert difference.abs().max() > 1e-2
    merge_(encoder)
    assert encoder.layers[0].fc1.bias is not dense.layers[0].fc1.bias


def test_padded_tokens_are_excluded(encoder):
    layers = linear_layers(encoder)
    clean = [(x[:, :6], mask[:, :6]) for x, mask in make_batches(2, padding=50.0)]
    expected = input_statistics(encoder, layers, clean)
    found = input_statistics(encoder, layers, make_batches(2, padding=50.0))
    for name, statistics in found.items():
        assert statistics.count == 2 * 8 * 6
        torch.testing.assert_close(
            statistics.covariance(), expected[name].covariance(), rtol=1e-4, atol=1e-6
        )


def test_cross_covariance_reduces_the_error():
    """Dense inputs < both < own inputs without the cross term, in this order."""
    torch.manual_seed(0)
    layer = nn.Linear(30, 40, bias=False)
    x = torch.randn(500, 30) @ torch.randn(30, 30)
    z = x + 2 * torch.randn(500, 30) @ torch.diag(torch.linspace(0, 2, 30))
    both, dense = (InputStatistics(layer, False, True) for _ in range(2))
    both.add([z[None]], [x[None]])
    dense.add([x[None]])
    residuals = []
    for statistics in (both, dense):
        down, up = fit(layer, statistics).factors(8)
        residuals.append((x @ layer.weight.T - z @ (up @ down)[0].T).norm())
    assert residuals[0] < residuals[1]


def test_block_of_a_layer():
    names = {
        'backbone.layers.3.ffn.layers.0.0': 'backbone.layers.3',
        'stages.1.blocks.4.attn.w_msa.qkv': 'stages.1.blocks.4',
        'bert.encoder.layer.2.attention.self.query': 'bert.encoder.layer.2',
        'blocks.0.mlp.fc1': 'blocks.0',
        'backbone.layer1.0.conv3': 'backbone.layer1.0',
        'stages.0.1.pointwise_conv1': 'stages.0.1',
        'head.fc': 'head.fc',
    }
    assert {name: block_of(name) for name in names} == names


def test_sequential_and_tuning_reduce_the_output_error(encoder):
    batches, unseen = make_batches(6)[:5], make_batches(6)[5:]
    dense, errors = copy.deepcopy(encoder), {}
    for name, kwargs in dict(
        svd=dict(method='svd'),
        whiten=dict(),
        sequential=dict(method='sequential'),
        tuned=dict(method='sequential', tuning=10),
    ).items():
        model = copy.deepcopy(encoder)
        reports = compress_(model, 3.0, calibration=batches, **kwargs)
        assert len(reports) == 6
        assert all(p.requires_grad and p.grad is None for p in model.parameters())
        errors[name] = output_error(model, dense, unseen)
    assert errors['tuned'] < errors['sequential'] < errors['whiten'] < errors['svd']


def test_ranks_by_feature_error(encoder):
    """A layer whose output is not used gets the smallest rank."""
    encoder.layers[1].fc2.weight.data.mul_(1e-4)
    before = copy.deepcopy(encoder.state_dict())
    model = copy.deepcopy(encoder)
    reports = compress_(
        model, budget='params=0.5', search='features', calibration=make_batches(4)
    )
    ranks = {r.name: r.rank for r in reports}
    assert ranks['layers.1.fc1'] == 1
    with pytest.raises(ValueError, match="features='x' is not a module of Encoder"):
        compress_(
            encoder,
            budget='params=0.5',
            search='features',
            features='x',
            calibration=make_batches(4),
        )
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize('kind', ['macs', 'latency'])
def test_budget_of_operations_and_time(encoder, kind, monkeypatch):
    # Times of a machine on which a layer costs what its parameters cost.
    monkeypatch.setattr(
        latency,
        '_measure',
        lambda layer, rank, count: (
            rank * sum(layer.weight.shape) if rank else layer.weight.numel()
        ),
    )
    reports = compress_(encoder, budget=f'{kind}=0.9', calibration=make_batches(1))
    size = sum(r.rank * (r.in_features + r.out_features) for r in reports)
    assert 0 < size < sum(r.in_features * r.out_features for r in reports)
    encoder(make_batches(1)[0])


def test_failing_module_is_named(encoder):
    batch = (torch.rand(2, 4, 31), None)
    with pytest.raises(RuntimeError, match=r'fails in layers.0.norm \(LayerNorm\)'):
        compress_(encoder, calibration=[batch])
    assert not any(isinstance(m, LowRankLinear) for m in encoder.modules())
    assert not encoder.layers[0].norm._forward_hooks


def test_small_calibration_warns_with_numbers(encoder, capsys):
    compress_(encoder, 3.0, calibration=[(torch.rand(1, 10, 32), None)])
    output = capsys.readouterr().out
    assert 'layers.0.fc2 has 10 inputs of 64 channels' in output
    assert 'at least 7 times as many batches' in output
