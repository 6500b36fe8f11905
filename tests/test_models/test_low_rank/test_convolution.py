"""Low-rank 1 x 1 convolutions."""

import copy

import pytest
import torch
import torch.nn as nn

from mmvlfusion.models.low_rank import compress_, merge_
from mmvlfusion.models.low_rank.builder import build_low_rank
from mmvlfusion.models.low_rank.convolution import LowRankConv2d


def make_model(groups=1, stride=1, bias=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3),
        nn.Conv2d(24, 36, 1, stride, groups=groups, bias=bias),
        nn.Conv2d(36, 36, 1, groups=36),
    )


@pytest.mark.parametrize('groups, stride', [(1, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize('bias', [True, False])
def test_full_rank_is_exact(groups, stride, bias):
    model = make_model(groups, stride, bias)
    dense = copy.deepcopy(model)
    x = torch.rand(4, 3, 9, 10)
    low = LowRankConv2d.from_conv(model[1], min(24, 36) // groups)
    y = model[0](x)
    torch.testing.assert_close(low(y), model[1](y), rtol=1e-4, atol=1e-5)
    compress_(model, 1.5, convolutions=True, calibration=[x])
    assert [type(m) for m in model] == [nn.Conv2d, LowRankConv2d, nn.Conv2d]
    out = model(x)
    other = make_model(groups, stride, bias)
    compress_(other, 1.5, convolutions=True)
    assert (out - dense(x)).norm() < (other(x) - dense(x)).norm()
    other.load_state_dict(dense.state_dict())  # Dense weights are factorised.
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(x), out)
    merge_(model)
    assert type(model[1]) is nn.Conv2d and model[1].stride == (stride, stride)
    torch.testing.assert_close(model(x), out, rtol=1e-4, atol=1e-5)


def test_convolutions_are_an_option():
    model = nn.Sequential(nn.Linear(24, 24), nn.Conv2d(24, 24, 1))
    assert [r.name for r in compress_(copy.deepcopy(model))] == ['0']
    assert [r.name for r in compress_(model, convolutions=True)] == ['0', '1']


@pytest.mark.parametrize(
    'cfg',
    [
        dict(
            type='mmpretrain.ConvNeXt',
            arch=dict(depths=[1] * 4, channels=[16, 16, 32, 32]),
            linear_pw_conv=False,
        ),
        dict(type='mmpretrain.MobileNetV2', widen_factor=0.5),
        dict(type='mmdet.CSPNeXt', deepen_factor=0.1, widen_factor=0.125),
    ],
    ids=lambda cfg: cfg['type'],
)
def test_backbones_of_the_hosts(cfg):
    low = build_low_rank(cfg, ratio=1.5, convolutions=True, min_features=10)
    names = [n for n, m in low.named_modules() if isinstance(m, LowRankConv2d)]
    assert names
    low.init_weights()
    x = torch.rand(1, 3, 64, 64)
    low.eval()
    before = low(x)[-1]
    merge_(low)
    torch.testing.assert_close(low(x)[-1], before, rtol=1e-3, atol=1e-4)
