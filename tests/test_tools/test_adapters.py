"""Training, resuming, testing and merging of models with adapters."""

import os
import sys

import pytest
import torch
from mmengine.config import Config

from mmvlfusion.apis.build import build_model
from mmvlfusion.models.adapters.base import STATISTICS

from ..helpers import ROOT


@pytest.fixture
def base(tiny_config, tmp_path):
    """The checkpoint of a classifier, whose backbone is the base."""
    model = build_model(Config.fromfile(tiny_config()))
    model.init_weights()
    path = tmp_path / 'base.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def adapted_config(tiny_config, base):
    """The config of the classifier with LoRA."""

    def write(init=True, **overrides):
        pretrained = dict(
            _delete_=True,
            type='Pretrained',
            checkpoint=str(base),
            prefix='backbone.',
        )
        return tiny_config(
            {
                'model.backbone.type': 'mmvlfusion.LoRA',
                'model.backbone.module': 'mmvlfusion.TNT',
                'model.backbone.rank': 2,
                'model.backbone.init_cfg': pretrained if init else None,
                'default_hooks.adapters': dict(type='mmvlfusion.AdapterHook'),
                **overrides,
            }
        )

    return write


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_lora_trains_resumes_tests_and_merges(adapted_config, base, run_tool, tmp_path):
    cfg = adapted_config()
    run_tool('tools/train.py', cfg, '--work-dir', tmp_path / 'a')
    small = tmp_path / 'a/epoch_2.pth'
    trained = weights(small)
    backbone = [key for key in trained if key.startswith('backbone.')]
    assert backbone and any(key.startswith('head.') for key in trained)
    assert all('lora_' in key or STATISTICS in key for key in backbone)
    assert os.path.getsize(small) < os.path.getsize(base) / 2
    # Interrupted after one epoch.
    run_tool(
        *('tools/train.py', cfg, '--work-dir', tmp_path / 'b', '--resume'),
        tmp_path / 'a/epoch_1.pth',
    )
    resumed = weights(tmp_path / 'b/epoch_2.pth')
    assert trained.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in trained.items())
    output = run_tool('tools/test.py', cfg, small, '--work-dir', tmp_path)
    score = output.split('accuracy/top1:')[1].split()[0]
    merged = tmp_path / 'merged'
    run_tool(
        *('tools/compress.py', cfg, small, '--merge', '--out', merged),
        *('--shape', 32, 32),
    )
    dense = Config.fromfile(merged / 'config.py')
    assert dense.model.backbone.type == 'mmvlfusion.TNT'
    assert 'rank' not in dense.model.backbone
    output = run_tool(
        *('tools/test.py', merged / 'config.py', merged / 'model.pth'),
        *('--work-dir', tmp_path),
    )
    assert output.split('accuracy/top1:')[1].split()[0] == score
    # The base may be load_from instead, and its absence is explained.
    cfg = adapted_config(init=False, load_from=str(base))
    output = run_tool('tools/test.py', cfg, small, '--work-dir', tmp_path)
    assert output.split('accuracy/top1:')[1].split()[0] == score
    cfg = adapted_config(init=False)
    output = run_tool('tools/test.py', cfg, small, '--work-dir', tmp_path, status=1)
    assert 'base of TNT is missing or another one' in output


@pytest.mark.e2e
def test_two_processes_train_without_unused_parameters(run_tool, tmp_path, free_port):
    run_tool(
        *('-m', 'torch.distributed.run', '--nproc_per_node=2'),
        *(f'--master_port={free_port}', '--master_addr=127.0.0.1'),
        ROOT / 'tests/test_models/test_adapters/adapter_ranks.py',
        tmp_path,
        launcher=(sys.executable,),
    )
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2))
    for kind, (trained, changed) in first.items():
        assert changed == trained.keys()
        for name, value in trained.items():
            assert torch.equal(value, second[kind][0][name]), (kind, name)
