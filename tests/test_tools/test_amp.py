"""The type of ``--amp``."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from mmvlfusion.apis.cli import explained_errors
from mmvlfusion.utils.torch_versions import has_bfloat16

from ..helpers import load_tool

train = load_tool('train.py')
UNSCALED = dict(enabled=False)


def choose(monkeypatch, wrapper, model, dtype=None, has_bfloat16=True):
    """Return the config of the wrapper that trains on an accelerator."""
    monkeypatch.setattr(train, 'is_accelerated', lambda: True)
    monkeypatch.setattr(train, 'has_bfloat16', lambda device: has_bfloat16)
    cfg = Config(dict(optim_wrapper=wrapper))
    train.enable_amp(cfg, dtype)
    runner = SimpleNamespace(
        optim_wrapper=ConfigDict(cfg.optim_wrapper), cfg=cfg, model=model
    )
    train.choose_amp_dtype(runner)
    assert runner.cfg.optim_wrapper == runner.optim_wrapper
    return dict(runner.optim_wrapper)


@pytest.mark.parametrize(
    'options, wrapper, dtype, scale',
    [
        ({}, {}, 'bfloat16', UNSCALED),
        ({}, dict(type='AmpOptimWrapper', loss_scale=512.0), 'bfloat16', UNSCALED),
        (dict(has_bfloat16=False), {}, 'float16', 'dynamic'),
        (dict(has_bfloat16=False), dict(loss_scale=512.0), 'float16', 512.0),
        (dict(dtype='float16'), {}, 'float16', 'dynamic'),
        (dict(dtype='bfloat16', has_bfloat16=False), {}, 'bfloat16', UNSCALED),
        (dict(dtype='bfloat16'), dict(loss_scale=512.0), 'bfloat16', UNSCALED),
        # The config decides before the device.
        ({}, dict(dtype='float16'), 'float16', 'dynamic'),
        (dict(dtype='bfloat16'), dict(dtype='float16'), 'bfloat16', UNSCALED),
    ],
)
def test_amp_has_bfloat16_where_the_device_has_it(
    options, wrapper, dtype, scale, monkeypatch
):
    chosen = choose(monkeypatch, wrapper, nn.Linear(2, 2), **options)
    assert chosen == dict(type='AmpOptimWrapper', dtype=dtype, loss_scale=scale)


def test_operators_of_mmcv_train_in_float16(monkeypatch):
    ops = pytest.importorskip('mmcv.ops')
    model = nn.Sequential(nn.Linear(2, 2), ops.RoIAlign(7))
    assert choose(monkeypatch, {}, model)['dtype'] == 'float16'
    assert choose(monkeypatch, {}, model, 'bfloat16')['dtype'] == 'bfloat16'
    # The flexible runner builds its model later.
    assert choose(monkeypatch, {}, dict(type='TNT'))['dtype'] == 'bfloat16'


@pytest.mark.parametrize(
    'device, hip, capability, expected',
    [
        ('cpu', None, None, True),
        ('npu', None, None, False),
        ('cuda', None, (7, 5), False),
        ('cuda', None, (8, 0), True),
        ('cuda', '6.2', (9, 4), True),
    ],
)
def test_devices_with_bfloat16(device, hip, capability, expected, monkeypatch):
    monkeypatch.setattr(torch.version, 'hip', hip)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    assert has_bfloat16(device) is expected


def test_amp_dtype_is_checked(monkeypatch, run_tool, tmp_path):
    monkeypatch.setattr(train, 'is_accelerated', lambda: False)
    cfg = Config(dict(optim_wrapper={}))
    with pytest.raises(ValueError, match='--amp-dtype float16 needs a GPU'):
        train.enable_amp(cfg, 'float16')
    train.enable_amp(cfg, 'bfloat16')
    assert cfg.optim_wrapper.type == 'mmvlfusion.CPUAmpOptimWrapper'
    output = run_tool('tools/train.py', 'a.py', '--amp-dtype', 'float16', status=2)
    assert '--amp-dtype float16 needs --amp' in output


def test_operator_without_bfloat16_is_explained():
    message = 'no bfloat16.*--amp-dtype float16'
    with pytest.raises(ValueError, match=message), explained_errors():
        raise RuntimeError("not implemented for 'BFloat16'")
    with pytest.raises(RuntimeError, match='out of memory'), explained_errors():
        raise RuntimeError('out of memory')
