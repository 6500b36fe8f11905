"""The factorisation compared with numpy, and the low-rank layer."""

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.runner.checkpoint import load_state_dict

from mmvlfusion.models.low_rank import LowRankLinear, factorize
from mmvlfusion.models.low_rank.ranks import paper_rank

from ...helpers import skip_on_torch_2_1


def optimum(weight, rank):
    """Compute the smallest possible Frobenius error by a full decomposition."""
    values = np.linalg.svd(weight.double().numpy())[1]
    return float(np.sqrt((values[rank:] ** 2).sum()))


@pytest.mark.parametrize('shape', [(96, 40), (40, 96), (64, 64)])
@pytest.mark.parametrize('rank', [1, 13, 40])
def test_factorize_has_smallest_error(shape, rank):
    torch.manual_seed(0)
    weight = torch.randn(shape) * torch.logspace(0, -3, shape[1])
    down, up = factorize(weight, rank)
    assert down.shape == (rank, shape[1]) and up.shape == (shape[0], rank)
    error = (up.double() @ down.double() - weight.double()).norm().item()
    # At full rank, the rounding error of single precision remains.
    assert error <= optimum(weight, rank) * (1 + 1e-4) + 1e-6
    torch.testing.assert_close(down.norm(dim=1), up.norm(dim=0))


@pytest.mark.parametrize('shape', [(30, 20), (20, 30)])
def test_factorize_rank_deficient_weight(shape):
    torch.manual_seed(0)
    weight = torch.randn(shape[0], 3) @ torch.randn(3, shape[1])
    down, up = factorize(weight, 10)
    torch.testing.assert_close(up @ down, weight, rtol=1e-4, atol=1e-4)
    down, up = factorize(torch.zeros(shape), 2)
    assert torch.isfinite(down).all() and torch.isfinite(up).all()


@pytest.mark.parametrize('shape', [(48, 24), (24, 48)])
def test_covariance_minimises_output_error(shape):
    """The output error equals the smallest error of the whitened weight."""
    torch.manual_seed(0)
    weight = torch.randn(shape)
    x = torch.randn(500, shape[1]) @ torch.randn(shape[1], shape[1])
    covariance = x.double().T @ x.double() / len(x)
    down, up = factorize(weight, 8, covariance)
    error = (x @ (up @ down - weight).T).norm().item() / len(x) ** 0.5
    root = torch.linalg.cholesky(covariance).float()
    assert error == pytest.approx(optimum(weight @ root, 8), rel=1e-3)
    plain = factorize(weight, 8)
    assert error < (x @ (plain[1] @ plain[0] - weight).T).norm() / len(x) ** 0.5


def test_ranks_match_paper():
    # DeiT-B: query-key-value, projection and the two of the feed-forward network.
    outputs = (2304, 768, 3072)
    assert [paper_rank(768, n, 2.0) for n in outputs] == [288, 192, 307]
    assert [paper_rank(768, n, 1.5) for n in outputs] == [384, 256, 409]


@pytest.mark.parametrize(
    'shape, ratio, rank',
    [((96, 192), 1.6, 40), ((1008, 2016), 6.4, 105), ((96, 191), 1.6, 39)],
)
def test_whole_ranks_are_not_rounded_down(shape, ratio, rank):
    """The quotient is a whole number, but the ratio is not exact as a float."""
    assert paper_rank(*shape, ratio) == rank
    assert isinstance(paper_rank(*shape, ratio), int)


@pytest.mark.parametrize('bias', [True, False])
def test_layer_matches_merged_linear(bias):
    torch.manual_seed(0)
    layer = LowRankLinear(12, 20, 5, bias)
    linear = layer.to_dense()
    x = torch.randn(3, 4, 12)
    torch.testing.assert_close(layer(x), linear(x))
    assert layer.weight.shape == (20, 12)
    assert (layer.in_features, layer.out_features) == (12, 20)
    assert linear.bias is layer.bias
    # A full-rank factorisation is exact.
    again = LowRankLinear.from_linear(linear, 12)
    torch.testing.assert_close(again(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'load',
    [
        nn.Module.load_state_dict,
        lambda module, weights: load_state_dict(module, weights, strict=True),
    ],
    ids=['torch', 'mmengine'],
)
def test_load_state_dict_factorizes_dense_weights(load):
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(12, 20), nn.Linear(20, 12))
    low = nn.Sequential(LowRankLinear(12, 20, 5), nn.Linear(20, 12))
    weights = dense.state_dict()
    load(low, weights)
    assert list(weights) == list(dense.state_dict())  # Not changed by loading.
    down, up = factorize(dense[0].weight, 5)
    torch.testing.assert_close(low[0].weight, up @ down)
    assert torch.equal(low[0].bias, dense[0].bias)
    other = nn.Sequential(LowRankLinear(12, 20, 5), nn.Linear(20, 12))
    load(other, low.state_dict())
    for key, value in other.state_dict().items():
        assert torch.equal(value, low.state_dict()[key])


def test_rejects_bad_input():
    layer = LowRankLinear(12, 20, 5)
    with pytest.raises(ValueError, match=r'\(20, 13\).*expected \(20, 12\)'):
        layer.load_state_dict(nn.Linear(13, 20).state_dict())
    for rank in (0, 13):
        with pytest.raises(ValueError, match=f'rank={rank} must be within'):
            LowRankLinear(12, 20, rank)
        with pytest.raises(ValueError, match=f'rank={rank} must be within'):
            factorize(torch.zeros(20, 12), rank)
    with pytest.raises(ValueError, match='not finite'):
        factorize(torch.full((4, 4), torch.nan), 2)


@pytest.mark.parametrize(
    'dtype',
    [
        pytest.param(
            torch.float16, marks=skip_on_torch_2_1('has no autocast to it on CPUs')
        ),
        torch.bfloat16,
    ],
)
def test_mixed_precision_is_close_to_full(dtype):
    torch.manual_seed(0)
    layer = LowRankLinear(12, 20, 5)
    x = torch.randn(3, 12)
    with torch.autocast('cpu', dtype):
        y = layer(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x), rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_factors_have_dtype_of_weight(dtype):
    down, up = factorize(torch.randn(20, 12).to(dtype), 5)
    assert down.dtype == up.dtype == dtype


def test_export_and_compile_match_eager():
    torch.manual_seed(0)
    model = nn.Sequential(
        LowRankLinear(12, 20, 5), nn.GELU(), LowRankLinear(20, 12, 5)
    ).eval()
    x = torch.randn(2, 7, 12)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
