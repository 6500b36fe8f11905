"""Converted weights of DeiT, DeiT-III and Swin give timm's outputs."""

import pytest
import timm
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..helpers import load_tool

VIT = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128)
TIMM_VIT = dict(embed_dim=32, depth=2, num_heads=2, num_classes=5, img_size=64)
SWIN = dict(embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 2))
TIMM_SWIN = dict(
    embed_dim=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 2), num_classes=5
)
CASES = {
    'DeiT': (
        'deit',
        'deit_tiny_patch16_224',
        TIMM_VIT,
        dict(
            backbone=dict(type='VisionTransformer', arch=VIT, img_size=64),
            head=dict(type='VisionTransformerClsHead', num_classes=5, in_channels=32),
        ),
    ),
    'DeiT-III': (
        'deit',
        'deit3_small_patch16_224',
        TIMM_VIT,
        dict(
            backbone=dict(
                type='VisionTransformer',
                arch=VIT,
                img_size=64,
                layer_scale_init_value=1e-6,
            ),
            head=dict(type='VisionTransformerClsHead', num_classes=5, in_channels=32),
        ),
    ),
    'Swin': (
        'swin',
        'swin_tiny_patch4_window7_224',
        TIMM_SWIN,
        dict(
            backbone=dict(type='SwinTransformer', arch=SWIN, img_size=224),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=128),
        ),
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_converted_model_matches_timm(name, run_tool, tmp_path):
    torch.manual_seed(0)
    tool, theirs, kwargs, ours = CASES[name]
    theirs = timm.create_model(theirs, **kwargs).eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.1)
    init_default_scope('mmpretrain')
    ours = MODELS.build(dict(type='ImageClassifier', **ours)).eval()
    source, target = str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth')
    torch.save(dict(model=theirs.state_dict()), source)
    run_tool(f'tools/model_converters/{tool}.py', source, target)
    weights = torch.load(target)['state_dict']
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    # timm does not store the table of window indices.
    assert not unexpected
    assert all(key.endswith('relative_position_index') for key in missing)
    x = torch.randn(2, 3, 224 if name == 'Swin' else 64, 224 if name == 'Swin' else 64)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(x, mode='tensor'), theirs(x), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize('name', ['DeiT', 'Swin'])
def test_converted_low_rank_model_matches_original(name):
    """PELA's released code has two linear layers in an nn.Sequential instead of each
    linear layer."""
    torch.manual_seed(0)
    tool, theirs, kwargs, ours = CASES[name]
    theirs = timm.create_model(theirs, **kwargs).eval()
    layers = {
        key: layer
        for key, layer in theirs.named_modules()
        if isinstance(layer, nn.Linear) and 'head' not in key and 'reduct' not in key
    }
    for key, layer in layers.items():
        rows, columns = layer.weight.shape
        rank = rows * columns // (2 * (rows + columns))
        factors = nn.Sequential(
            nn.Linear(columns, rank, bias=False), nn.Linear(rank, rows)
        )
        theirs.set_submodule(key, factors)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.1)
    init_default_scope('mmpretrain')
    ours = MODELS.build(
        dict(
            type='mmvlfusion.LowRank',
            module=dict(type='ImageClassifier', **ours),
            ratio=2,
            exclude='vit' if name == 'DeiT' else 'swin',
        )
    ).eval()
    convert = load_tool(f'model_converters/{tool}.py').convert
    weights, dropped = convert(theirs.state_dict())
    assert not dropped
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(key.endswith('relative_position_index') for key in missing)
    side = 64 if name == 'DeiT' else 224
    x = torch.randn(1, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(x, mode='tensor'), theirs(x), rtol=1e-3, atol=1e-4
        )


def test_convert_swin_of_the_authors():
    """The authors merge patches at the end of a stage, and they store masks."""
    convert = load_tool('model_converters/swin.py').convert
    weights, dropped = convert(
        {
            'layers.0.downsample.norm.weight': torch.arange(8.0),
            'layers.0.blocks.1.attn_mask': torch.zeros(1),
            'head.weight': torch.zeros(1),
        }
    )
    assert weights['backbone.stages.0.downsample.norm.weight'].tolist() == [
        0,
        4,
        2,
        6,
        1,
        5,
        3,
        7,
    ]
    assert 'head.fc.weight' in weights
    assert dropped == ['layers.0.blocks.1.attn_mask']


@pytest.mark.parametrize(
    'tool, name',
    [
        ('deit', 'conv1.weight'),
        ('deit', 'blocks.0.attn.qkv.lora_A.weight'),
        ('deit', 'blocks.0.attn.q_norm.weight'),
        ('deit', 'patch_embed.proj.0.weight'),
        ('swin', 'conv1.weight'),
        ('swin', 'layers.0.blocks.0.attn.logit_scale'),
        ('swin', 'layers.0.blocks.0.mlp.fc1.2.weight'),
        ('swin', 'head.0.weight'),
    ],
)
def test_convert_rejects_unknown_keys(tool, name):
    """A name that no model would load is not converted."""
    convert = load_tool(f'model_converters/{tool}.py').convert
    with pytest.raises(ValueError, match=f"Unexpected key '{name}' in a checkpoint of"):
        convert({name: torch.zeros(1)})


def test_converted_dinov2_matches_transformers():
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    theirs = Dinov2Model(
        Dinov2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
        )
    ).eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.1)
    weights = {f'backbone.{k}': v for k, v in theirs.state_dict().items()}
    positions = weights.pop('backbone.embeddings.position_embeddings')
    weights.pop('backbone.embeddings.mask_token')
    weights.update({'positions.0': positions[:, :1], 'positions.1': positions[:, 1:]})
    weights['decoder.bn.weight'] = torch.ones(1)
    tool = load_tool('model_converters/dinov2_onnx.py')
    converted, dropped = tool.convert(weights)
    assert dropped == ['decoder.bn.weight']
    init_default_scope('mmpretrain')
    ours = MODELS.build(
        dict(
            type='VisionTransformer',
            arch=dict(VIT),
            img_size=56,
            patch_size=14,
            layer_scale_init_value=1e-5,
            out_type='raw',
        )
    )
    ours.load_state_dict(converted)
    ours.eval()
    x = torch.rand(2, 3, 56, 56)
    with torch.no_grad():
        expected = theirs(x).last_hidden_state
        torch.testing.assert_close(ours(x)[-1], expected, rtol=1e-4, atol=1e-4)
