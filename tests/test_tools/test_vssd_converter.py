"""Conversion of VSSD checkpoints of the authors' code."""

import sys
from types import ModuleType

import pytest
import torch

from mmvlfusion.models import VSSD

from ..helpers import load_tool

converter = load_tool('model_converters/vssd.py')

ARCH = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(2, 2, 4, 4), state_dims=6)


def released_names(depths=ARCH['depths']):
    """List the weights of a released classifier by the authors' names."""
    names = [
        'patch_embed.conv1',
        *(f'patch_embed.conv{i}.{j}' for i in (2, 3) for j in (0, 1)),
    ]
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    out = [f'{name}.conv.weight' for name in names]
    out += [f'{name}.norm.{part}' for name in names for part in norm]
    for i, depth in enumerate(depths):
        for j in range(depth):
            block = f'layers.{i}.blocks.{j}.'
            layers = ['cpe1', 'norm1', 'cpe2', 'norm2', 'mlp.fc1', 'mlp.fc2']
            if i < 3:
                layers += ['attn.conv2d', 'attn.norm']
                out += [f'{block}attn.{x}' for x in ('dt_bias', 'A_log', 'D')]
                out += [f'{block}attn.{x}_proj.weight' for x in ('in', 'out')]
            else:
                layers += ['attn.to_out']
                out.append(f'{block}attn.to_qkv.weight')
            out += [f'{block}{x}.{y}' for x in layers for y in ('weight', 'bias')]
        if i < 3:
            merge = f'layers.{i}.downsample.conv.'
            out += [
                f'{merge}{k}.conv.{y}' for k in range(3) for y in ('weight', 'bias')
            ]
            out += [f'{merge}2.norm.{part}' for part in norm]
    return [*out, 'norm.weight', 'norm.bias', 'head.weight', 'head.bias']


def released_weights(model, head):
    """Give the weights of a model the authors' names."""
    numbers = {name: torch.tensor(i) for i, name in enumerate(released_names())}
    converted, dropped = converter.convert(numbers)
    assert dropped == []
    names = {new: released_names()[number] for new, number in converted.items()}
    ours = {f'backbone.{k}': v for k, v in model.state_dict().items()}
    ours.update({f'head.fc.{k}': v for k, v in head.state_dict().items()})
    assert ours.keys() == names.keys()
    return {names[name]: value for name, value in ours.items()}


def build(seed):
    torch.manual_seed(seed)
    return VSSD(ARCH), torch.nn.Linear(64, 5)


@pytest.fixture
def settings():
    """Settings of yacs, whose class exists only while the file is written."""
    module = ModuleType('yacs.config')
    module.CfgNode = type('CfgNode', (dict,), dict(__module__='yacs.config'))
    settings = module.CfgNode(MODEL=module.CfgNode(NAME='vssd'))
    settings.frozen = True
    sys.modules.update({'yacs': ModuleType('yacs'), 'yacs.config': module})
    yield settings
    for name in ('yacs', 'yacs.config'):
        sys.modules.pop(name, None)


@pytest.mark.parametrize('options, seed', [([], 1), (['--raw'], 0)])
def test_command_converts_training_checkpoint(
    options, seed, settings, run_tool, tmp_path
):
    """Weights come with settings and an optimizer; the EMA weights are preferred."""
    source, target = tmp_path / 'best_ckpt_ema.pth', tmp_path / 'ours.pth'
    content = dict(
        model=released_weights(*build(0)),
        model_ema=released_weights(*build(1)),
        optimizer=dict(state={}, param_groups=[dict(lr=1e-3)]),
        config=settings,
        epoch=299,
    )
    torch.save(content, source)
    for name in ('yacs', 'yacs.config'):
        del sys.modules[name]
    output = run_tool('tools/model_converters/vssd.py', source, target, *options)
    number = len(released_names())
    assert f'{number} weights converted, 0 dropped' in output
    model = VSSD(
        ARCH,
        init_cfg=dict(type='Pretrained', checkpoint=str(target), prefix='backbone.'),
    )
    model.init_weights()
    expected = build(seed)[0].state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


def test_names_of_detectors_are_converted():
    weights, _ = converter.convert({'outnorm2.weight': torch.zeros(1)})
    assert list(weights) == ['backbone.norm2.weight']


def test_convert_rejects_other_models():
    with pytest.raises(ValueError, match="key 'conv1.weight' in a checkpoint of VSSD"):
        converter.convert({'conv1.weight': torch.zeros(1)})
