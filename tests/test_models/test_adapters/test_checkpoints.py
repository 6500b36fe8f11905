"""Small checkpoints of models with adapters, on the right and on a wrong base."""

import copy
import pickle

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn

from mmvlfusion.engine import AdapterHook
from mmvlfusion.models.adapters import build_lora, build_mona, merge_lora_
from mmvlfusion.models.adapters.base import STATISTICS

from ...helpers import HOST_MODELS, SWIN, VIT

BUILDERS = dict(lora=build_lora, mona=build_mona)
SMALL = dict(arch=VIT, img_size=32, patch_size=8)


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    init_default_scope('mmpretrain')


def adapted(kind, **kwargs):
    own = dict(rank=2) if kind == 'lora' else dict(hidden_dims=4)
    return BUILDERS[kind]('mmpretrain.VisionTransformer', **{**own, **SMALL, **kwargs})


@pytest.fixture
def base_file(tmp_path):
    """The checkpoint of a base."""
    model = MODELS.build(dict(type='mmpretrain.VisionTransformer', **SMALL))
    model.init_weights()
    path = tmp_path / 'base.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def pretrained(path):
    return dict(type='Pretrained', checkpoint=path)


def change(model):
    """Change the trained parameters, as a training does."""
    for value in model.parameters():
        if value.requires_grad:
            nn.init.normal_(value, std=0.1)


@pytest.mark.parametrize('kind', BUILDERS)
def test_small_checkpoint_returns_on_its_base(kind, base_file):
    model = adapted(kind, init_cfg=pretrained(base_file))
    model.init_weights()
    change(model)
    small = get_state_dict(model)
    assert small.keys() == model.state_dict().keys()
    names = {n for n, value in model.named_parameters() if value.requires_grad}
    assert small.keys() == names | {STATISTICS}
    size = sum(value.numel() for value in small.values())
    assert size < sum(value.numel() for value in model.parameters()) / 2
    x = torch.rand(1, 3, 32, 32)
    expected = model.eval()(x)[0]
    # As in a test: the base is not loaded yet.
    other = adapted(kind, init_cfg=pretrained(base_file))
    load_state_dict(other, small, strict=True)
    assert torch.equal(other.eval()(x)[0], expected)
    # As in a resumption: it is.
    again = adapted(kind, init_cfg=pretrained(base_file))
    again.init_weights()
    again.load_state_dict(small)
    assert torch.equal(again.eval()(x)[0], expected)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(same(x)[0], expected)
        assert same.state_dict().keys() == small.keys()
        assert not same.layers[0].ln1.weight.requires_grad


def test_missing_and_other_bases_are_refused(base_file, tmp_path):
    model = adapted('lora', init_cfg=pretrained(base_file))
    model.init_weights()
    small = model.state_dict()
    with pytest.raises(ValueError, match='base of VisionTransformer is missing or an'):
        adapted('lora').load_state_dict(small)
    lost = adapted('lora', init_cfg=pretrained(str(tmp_path / 'lost.pth')))
    with pytest.raises(FileNotFoundError, match='weights of their base are missing'):
        lost.load_state_dict(small)
    weights = torch.load(base_file)['state_dict']
    weights['layers.1.attn.qkv.weight'].normal_(std=0.02)
    path = str(tmp_path / 'other.pth')
    torch.save(weights, path)
    other = adapted('lora', init_cfg=pretrained(path))
    with pytest.raises(ValueError, match='layers.1.attn.qkv.weight has the root mean'):
        other.load_state_dict(small)
    deeper = adapted('lora', arch=dict(VIT, num_layers=3))
    with pytest.raises(ValueError, match='has other adapters'):
        deeper.load_state_dict(small)


def test_other_adapters_are_refused(base_file):
    model = adapted('lora', init_cfg=pretrained(base_file))
    model.init_weights()
    small = model.state_dict()
    for other in (
        adapted('lora', rank=3),
        adapted('mona'),
        adapted('lora', include='all'),
    ):
        with pytest.raises(ValueError, match='Set the arguments of the builder'):
            other.load_state_dict(small)


def test_rounded_base_and_other_image_size_are_accepted(base_file, tmp_path):
    model = adapted('lora', init_cfg=pretrained(base_file))
    model.init_weights()
    small = model.state_dict()
    weights = torch.load(base_file)['state_dict']
    path = str(tmp_path / 'half.pth')
    torch.save({key: value.half() for key, value in weights.items()}, path)
    adapted('lora', init_cfg=pretrained(path)).load_state_dict(small)
    larger = adapted('lora', img_size=48, init_cfg=pretrained(base_file))
    larger.load_state_dict(small)
    assert larger.pos_embed.shape[1] == 37


def test_base_is_loaded_by_its_own_checkpoint(base_file):
    """``load_from`` of the base loads it into the model with adapters."""
    model = adapted('mona')
    before = copy.deepcopy(model.layers[0].mona_attn.state_dict())
    weights = torch.load(base_file)['state_dict']
    load_state_dict(model, weights)
    assert torch.equal(
        model.layers[0].attn.qkv.weight, weights['layers.0.attn.qkv.weight']
    )
    assert torch.equal(model.layers[0].mona_attn.gamma, before['gamma'])


def test_part_of_a_model_and_its_merge(base_file):
    """The head is trained and saved; merged weights are complete."""
    cfg = dict(
        type='ImageClassifier',
        backbone=dict(
            type='mmvlfusion.LoRA',
            module='mmpretrain.VisionTransformer',
            rank=2,
            init_cfg=pretrained(base_file),
            **SMALL,
        ),
        head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=24),
    )
    model = MODELS.build(copy.deepcopy(cfg))
    model.init_weights()
    change(model)
    small = get_state_dict(model)
    assert {key.split('.')[0] for key in small} == {'backbone', 'head'}
    assert f'backbone.{STATISTICS}' in small
    other = MODELS.build(cfg)
    load_state_dict(other, small, strict=True)
    x = torch.rand(1, 3, 32, 32)
    expected = model.eval()(x)
    torch.testing.assert_close(other.eval()(x), expected)
    merge_lora_(other)
    torch.testing.assert_close(other(x), expected)
    assert 'backbone.layers.0.attn.qkv.weight' in get_state_dict(other)
    assert not any('lora' in key or STATISTICS in key for key in other.state_dict())


def test_second_initialisation_keeps_adapters(base_file):
    model = adapted('lora', init_cfg=pretrained(base_file))
    model.init_weights()
    change(model)
    before = model.layers[0].attn.qkv.lora_up.clone()
    model.init_weights()
    assert torch.equal(model.layers[0].attn.qkv.lora_up, before)


def test_batch_norms_change_only_where_they_are_trained():
    init_default_scope('mmseg')
    config = HOST_MODELS['UPerNet'][1]
    for trained in ([], ['decode_head']):
        model = build_lora(config(), rank=2, trained=trained).train()
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms and all(norm.training == bool(trained) for norm in norms)
        keys = model.state_dict().keys()
        assert any('running_mean' in key for key in keys) == bool(trained)


@pytest.mark.parametrize('host', ['mmdet', 'mmseg'])
def test_swin_of_other_hosts(host, tmp_path):
    """Their initialisation reads the state dict of the model."""
    arch = dict(SWIN, window_size=4)
    base = MODELS.build(dict(type=f'{host}.SwinTransformer', **arch))
    base.init_weights()
    path = str(tmp_path / 'base.pth')
    torch.save(
        dict(state_dict={f'backbone.{k}': v for k, v in base.state_dict().items()}),
        path,
    )
    kwargs = dict(arch, type='mmvlfusion.Mona', module=f'{host}.SwinTransformer')
    kwargs.update(hidden_dims=4, init_cfg=pretrained(path))
    model = MODELS.build(ConfigDict(kwargs))
    model.init_weights()
    assert torch.equal(
        model.stages[0].blocks[0].norm1.weight, base.stages[0].blocks[0].norm1.weight
    )
    other = MODELS.build(ConfigDict(kwargs))
    load_state_dict(other, get_state_dict(model), strict=True)
    x = torch.rand(1, 3, 64, 64)
    for a, b in zip(model.eval()(x), other.eval()(x)):
        assert torch.equal(a, b)


def test_frozen_weights_are_outside_the_optimizer():
    class Runner:
        model = adapted('lora')

    optimizer = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
    for paramwise in (None, dict(norm_decay_mult=0.0)):
        wrapper = build_optim_wrapper(
            Runner.model, dict(optimizer=optimizer, paramwise_cfg=paramwise)
        )
        Runner.optim_wrapper = wrapper
        AdapterHook().before_run(Runner)
        held = {
            id(p) for group in wrapper.optimizer.param_groups for p in group['params']
        }
        assert held == {id(p) for p in Runner.model.parameters() if p.requires_grad}


def test_hook_loads_the_base_before_a_small_checkpoint(base_file):
    source = adapted('lora', init_cfg=pretrained(base_file))
    source.init_weights()
    small = source.state_dict()

    class Runner:
        model = adapted('lora')

    hook = AdapterHook(base=base_file)
    hook.after_load_checkpoint(Runner, dict(state_dict=small))
    Runner.model.load_state_dict(small)
    assert torch.equal(Runner.model.pos_embed, source.pos_embed)
    Runner.model = adapted('lora')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        AdapterHook(base='lost.pth').after_load_checkpoint(Runner, small)
