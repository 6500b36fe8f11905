"""LoRA on models of each host: function, selection, merging and errors."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvlfusion.models.adapters import (
    LoRALinear,
    LoRAMultiheadAttention,
    build_lora,
    merge_lora_,
)
from mmvlfusion.models.adapters.lora import ReadLoRALinear, to_merged_config

from ...helpers import HOST_MODELS, VIT, flatten_output, host_samples

SMALL = dict(arch=VIT, img_size=32, patch_size=8)


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    init_default_scope('mmpretrain')


def lora_vit(**kwargs):
    return build_lora('mmpretrain.VisionTransformer', **{'rank': 2, **SMALL, **kwargs})


def trained(model):
    return {name for name, value in model.named_parameters() if value.requires_grad}


def set_updates(model):
    """Give all updates values other than zero."""
    for name, value in model.named_parameters():
        if 'lora_' in name:
            nn.init.normal_(value, std=0.05)


@pytest.mark.parametrize('name', ['DeiT', 'Swin', 'BEiT', 'TNT', 'DETR', 'UPerNet'])
def test_model_first_is_the_base_and_merges(name):
    """Also where a host reads the weights of its attention (BEiT, DETR, UPerNet)."""
    host, config, has_attention = HOST_MODELS[name]
    init_default_scope(host)
    base = MODELS.build(config()).eval()
    model = build_lora(config(), rank=2).eval()
    missing, unexpected = model.load_state_dict(base.state_dict(), strict=False)
    assert not unexpected and all('lora_' in key for key in missing)
    assert trained(model) == set(missing)
    kinds = {type(module) for module in model.modules()}
    assert (LoRAMultiheadAttention in kinds) == has_attention
    assert (ReadLoRALinear in kinds) == (has_attention or name == 'BEiT')
    data = base.data_preprocessor(host_samples(host))

    def run(other):
        return flatten_output(other(**copy.deepcopy(data), mode='tensor'))

    with torch.no_grad():
        expected = run(base)
        # The logits of UPerNet are up to 100.
        tolerance = dict(rtol=1e-4, atol=1e-4 * max(1, expected.abs().max().item()))
        torch.testing.assert_close(run(model), expected, **tolerance)
        set_updates(model)
        updated = run(model)
        # BEiT scales its branches by 0.1 and less.
        assert (updated - expected).abs().max() > 1e-6
        merge_lora_(model)
        torch.testing.assert_close(run(model), updated, **tolerance)
    assert model.state_dict().keys() == base.state_dict().keys()
    assert type(model) is type(base)
    assert trained(model) == trained(base)


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet', 'mmseg'])
def test_swin_of_each_host_trains_updates_only(host):
    arch = dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2))
    out = dict(out_indices=(0, 1))
    if host == 'mmpretrain':
        kwargs = dict(arch=arch, img_size=32, window_size=4, pad_small_map=True, **out)
    else:
        kwargs = dict(arch, strides=(4, 2), window_size=4, **out)
    model = build_lora(f'{host}.SwinTransformer', rank=2, include=['qkv'], **kwargs)
    model.init_weights()
    set_updates(model)
    sum(x.sum() for x in model.train()(torch.rand(1, 3, 32, 32))).backward()
    names = {name for name, x in model.named_parameters() if x.grad is not None}
    assert names == trained(model)
    assert len(names) == 4 and all('qkv.lora_' in name for name in names)


def test_linear_layer_adds_scaled_update():
    layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=3.0)
    nn.init.normal_(layer.lora_up)
    x = torch.rand(5, 6)
    expected = x @ (layer.weight + 1.5 * layer.lora_up @ layer.lora_down).T
    out = layer(x)
    torch.testing.assert_close(out, expected + layer.bias)
    torch.testing.assert_close(layer.merged()(x), out)
    assert layer.train(True).dropout.p == 0.0


def test_dropout_applies_to_the_update_only():
    layer = LoRALinear(nn.Linear(6, 4), rank=2, alpha=2.0, dropout=1.0)
    nn.init.normal_(layer.lora_up)
    x = torch.rand(5, 6)
    torch.testing.assert_close(layer(x), layer.original()(x))
    assert (layer.eval()(x) - layer.original()(x)).abs().max() > 1e-3


def test_initialisation_of_the_host_does_not_change_updates():
    """DETR initialises all matrices, and mmseg's ViT the output projections."""
    host, config, _ = HOST_MODELS['DETR']
    init_default_scope(host)
    model = build_lora(config(), rank=2)
    model.init_weights()
    for name, value in model.named_parameters():
        assert not (name.endswith('lora_up') and value.any())
    init_default_scope('mmseg')
    model = build_lora(HOST_MODELS['UPerNet'][1](), rank=2)
    model.init_weights()
    attention = model.backbone.layers[0].attn.attn
    assert type(attention.out_proj) is ReadLoRALinear
    # A truncated normal of standard deviation 0.02.
    assert 0.01 < attention.out_proj._parameters['weight'].std() < 0.03


def test_selection():
    def names(**kwargs):
        model = lora_vit(**kwargs)
        return [n for n, m in model.named_modules() if isinstance(m, LoRALinear)]

    attention = ['layers.0.attn.qkv', 'layers.0.attn.proj']
    assert names()[:2] == attention and len(names()) == 4
    assert len(names(include='all')) == 8
    assert names(include=['qkv', 'attention'], exclude=[r'layers\.1']) == attention
    with_norm = lora_vit(trained=[r'\.ln\d'])
    assert 'layers.0.ln1.weight' in trained(with_norm)
    assert 'layers.0.attn.qkv.weight' not in trained(with_norm)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(rank=0), 'rank'),
        (dict(rank=25), 'rank=25 is above the size of layers.0.attn.qkv'),
        (dict(alpha=0), 'alpha'),
        (dict(dropout=2), 'dropout'),
        (dict(include=['nothing']), "include has 'nothing', which matches no linear"),
        (dict(exclude=['nothing']), "exclude has 'nothing', which matches no linear"),
        (dict(include='qkv'), r"give regular expressions as a list, include=\['qkv'\]"),
        (dict(include=['(']), 'is not a regular expression'),
        (dict(exclude=['attn']), 'LoRA adapts no layer of VisionTransformer'),
        (
            dict(trained=['nothing']),
            "trained has 'nothing', which matches no parameter",
        ),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        lora_vit(**kwargs)


def test_bad_modules_are_named():
    with pytest.raises(ValueError, match='ResNet has no linear layer'):
        build_lora('mmpretrain.ResNet', depth=18)
    with pytest.raises(ValueError, match='is not a class'):
        build_lora('mmvlfusion.LoRA')
    host, config, _ = HOST_MODELS['UPerNet']
    init_default_scope(host)
    with pytest.raises(ValueError, match='dropout=0.1 cannot be applied to .*in_proj'):
        build_lora(config(), rank=2, dropout=0.1)


def test_merged_config_is_that_of_the_base():
    cfg = dict(
        backbone=dict(
            type='mmvlfusion.LoRA',
            module='mmpretrain.VisionTransformer',
            rank=4,
            include='all',
            arch='base',
        ),
        heads=[dict(type='LinearClsHead')],
    )
    assert to_merged_config(cfg) == dict(
        backbone=dict(type='mmpretrain.VisionTransformer', arch='base'),
        heads=[dict(type='LinearClsHead')],
    )
