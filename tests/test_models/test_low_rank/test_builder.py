"""Low-rank models from configs: building, initialisation, loading and export."""

import copy
import pickle

import mmengine.runner
import pytest
import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.models.low_rank import (
    LowRankLinear,
    build_low_rank,
    compress_,
    factorize,
    merge_,
)
from mmvlfusion.models.low_rank.attention import LowRankMultiheadAttention
from mmvlfusion.models.low_rank.builder import to_dense_config, to_low_rank_config

from ...helpers import TINY_ARCH, skip_on_torch_2_1

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
SWIN_ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
VIT = dict(arch=ARCH, img_size=32, patch_size=8)


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    init_default_scope('mmpretrain')


def vit(**kwargs):
    return MODELS.build(dict(type='mmpretrain.VisionTransformer', **VIT, **kwargs))


def low_rank_vit(**kwargs):
    return MODELS.build(dict(type='mmvlfusion.PELAVisionTransformer', **VIT, **kwargs))


def assert_optimal_factors(low, dense, names):
    """Check that the factors are optimal for the dense weights."""
    for name in names:
        layer = low.get_submodule(name)
        down, up = factorize(dense.get_submodule(name).weight, layer.rank)
        torch.testing.assert_close(layer.weight, up @ down, rtol=1e-4, atol=1e-5)


LAYERS = (
    'layers.0.attn.qkv',
    'layers.1.attn.proj',
    'layers.1.ffn.layers.0.0',
    'layers.0.ffn.layers.1',
)


@pytest.mark.parametrize(
    'module',
    [
        'mmpretrain.VisionTransformer',
        dict(type='mmpretrain.VisionTransformer'),
        dict(type='VisionTransformer', **VIT),
    ],
)
def test_build_returns_instance_of_module_class(module):
    kwargs = (
        {}
        if len(module) == 2 or module == dict(type='VisionTransformer', **VIT)
        else VIT
    )
    built = MODELS.build(
        dict(type='mmvlfusion.LowRank', module=module, exclude='vit', **kwargs)
    )
    assert isinstance(built, type(vit()))
    assert type(built).__name__ == 'VisionTransformer'
    assert all(isinstance(built.get_submodule(name), LowRankLinear) for name in LAYERS)
    assert built.out_type == 'cls_token'


def test_shorthands_build_backbones_of_each_host():
    for host in ('mmpretrain', 'mmdet', 'mmseg'):
        swin = MODELS.build(
            dict(
                type='mmvlfusion.PELASwinTransformer',
                host=host,
                **(
                    {}
                    if host == 'mmpretrain'
                    else dict(
                        embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2)
                    )
                ),
            )
        )
        assert type(swin).__module__.startswith(host)
        names = [n for n, m in swin.named_modules() if isinstance(m, LowRankLinear)]
        assert any('attn' in name for name in names)
        assert not any('downsample' in name for name in names)
        assert any(name.endswith('proj') for name in names)
    without = MODELS.build(
        dict(type='mmvlfusion.PELASwinTransformer', exclude='swin_without_proj')
    )
    assert isinstance(without.stages[0].blocks[0].attn.w_msa.proj, nn.Linear)
    seg = MODELS.build(
        dict(
            type='mmvlfusion.PELAVisionTransformer',
            host='mmseg',
            embed_dims=24,
            num_layers=1,
            num_heads=2,
        )
    )
    assert isinstance(seg.layers[0].attn.attn, LowRankMultiheadAttention)
    with pytest.raises(ValueError, match="host='mmdet' is not one of"):
        low_rank_vit(host='mmdet')


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet', 'mmseg'])
def test_frozen_stages_of_swin_are_frozen_when_built(host):
    """Distributed training reads which parameters are frozen before ``train``."""
    if host == 'mmpretrain':
        arch = dict(arch=SWIN_ARCH, img_size=64)
    else:
        arch = dict(SWIN_ARCH, window_size=2)
    swin = MODELS.build(
        dict(type='mmvlfusion.PELASwinTransformer', host=host, frozen_stages=1, **arch)
    )

    def frozen():
        return {
            name for name, value in swin.named_parameters() if not value.requires_grad
        }

    built = frozen()
    assert any(name.endswith('.down') for name in built)
    assert any(name.startswith('patch_embed') for name in built)
    assert len(built) < len(list(swin.parameters()))
    swin.init_weights()
    swin.train()
    assert frozen() == built


def test_init_weights_factorizes_initialisation_of_host():
    built = MODELS.build(
        dict(
            type='mmvlfusion.LowRank',
            module='mmvlfusion.TNT',
            exclude='tnt',
            arch='tiny',
            img_size=32,
        )
    )
    parameters = {id(p) for p in built.parameters()}
    built.init_weights()
    # An optimizer may already hold the parameters.
    assert parameters == {id(p) for p in built.parameters()}
    layer = built.layers[0].outer.ffn.layers[0][0]
    # A truncated normal of standard deviation 0.02, without the smaller half of
    # its singular values.
    assert 0.008 < layer.weight.std() < 0.02
    assert not layer.bias.any()
    torch.testing.assert_close(layer.up.norm(dim=0), layer.down.norm(dim=1))


def test_second_init_weights_keeps_weights():
    """Call it twice, as after mmengine.hub.get_model(..., pretrained=True)."""
    built = low_rank_vit()
    built.init_weights()
    before = copy.deepcopy(built.state_dict())
    built.init_weights()
    for name in LAYERS:
        assert torch.equal(built.get_submodule(name).up, before[f'{name}.up'])


@pytest.mark.parametrize(
    'module, reason',
    [
        ('mmpretrain.Nothing', 'is not registered'),
        ('mmvlfusion.PELAVisionTransformer', 'is not a class'),
    ],
)
def test_rejects_bad_module(module, reason):
    with pytest.raises(ValueError, match=reason):
        MODELS.build(dict(type='mmvlfusion.LowRank', module=module))


def test_config_types_may_be_classes():
    """New-style configs have classes as types."""
    from mmpretrain.models import VisionTransformer

    cfg = dict(
        type=build_low_rank, module=VisionTransformer, ratio=2.0, exclude='vit', **VIT
    )
    assert isinstance(MODELS.build(dict(cfg)), VisionTransformer)
    dense = to_dense_config(dict(backbone=cfg, neck=None))
    assert dense == dict(backbone=dict(type=VisionTransformer, **VIT), neck=None)
    assert (
        to_dense_config(to_low_rank_config(dense['backbone'], ratio=3.0))
        == dense['backbone']
    )


def test_to_dense_config_of_shorthands_and_nested_configs():
    assert to_dense_config(
        ConfigDict(
            backbone=dict(
                type='mmvlfusion.PELASwinTransformer',
                host='mmdet',
                ratio=3,
                arch='base',
            )
        )
    ) == dict(backbone=dict(type='mmdet.SwinTransformer', arch='base'))
    assert to_dense_config(
        ConfigDict(
            type='mmvlfusion.LowRank', module=dict(type='DETR', a=1), b=2, exclude='vit'
        )
    ) == dict(type='DETR', a=1, b=2)


@pytest.mark.parametrize('route', ['dense', 'low-rank', 'prefix', 'load_from'])
def test_loads_dense_and_low_rank_checkpoints(route, tmp_path):
    dense = vit()
    dense.init_weights()
    weights = dense.state_dict()
    source = low_rank_vit()
    source.load_state_dict(weights)
    path = str(tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=path)
    if route == 'low-rank':
        weights = source.state_dict()
    elif route == 'prefix':
        weights = {f'student.backbone.{k}': v for k, v in source.state_dict().items()}
        init_cfg['prefix'] = 'student.backbone.'
    torch.save(dict(state_dict=weights), path)
    built = low_rank_vit(init_cfg=None if route == 'load_from' else init_cfg)
    built.init_weights()
    if route == 'load_from':
        mmengine.runner.load_checkpoint(built, path, strict=True)
    for key, value in built.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key])
    assert_optimal_factors(built, dense, LAYERS)


def test_rejects_checkpoint_of_another_shape(tmp_path):
    other = MODELS.build(
        dict(
            type='mmpretrain.VisionTransformer',
            **{**VIT, 'arch': {**ARCH, 'feedforward_channels': 96}},
        )
    )
    path = str(tmp_path / 'weights.pth')
    torch.save(other.state_dict(), path)
    built = low_rank_vit(init_cfg=dict(type='Pretrained', checkpoint=path))
    with pytest.raises(ValueError, match=r'another architecture.*\(96, 24\)'):
        built.init_weights()


def classifier(backbone):
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=backbone,
        head=dict(type='mmpretrain.LinearClsHead', num_classes=10, in_channels=24),
    )


def test_pretrained_backbone_in_low_rank_model(tmp_path):
    """Only the backbone of a low-rank model has pretrained weights."""
    path = str(tmp_path / 'weights.pth')
    dense = vit()
    torch.save(dense.state_dict(), path)
    model = classifier(
        dict(
            type='mmpretrain.VisionTransformer',
            **VIT,
            init_cfg=dict(type='Pretrained', checkpoint=path),
        )
    )
    model['module'], model['type'] = model['type'], 'mmvlfusion.LowRank'
    built = MODELS.build(model)
    built.init_weights()
    assert_optimal_factors(built.backbone, dense, LAYERS)
    assert isinstance(built.head.fc, LowRankLinear)
    assert 0 < built.head.fc.weight.std() < 0.02  # 0.01 by its init_cfg.


def test_low_rank_backbone_in_dense_model():
    """Initialising the parent also initialises the backbone, and only once."""
    built = MODELS.build(
        classifier(dict(type='mmvlfusion.PELAVisionTransformer', **VIT))
    )
    built.init_weights()
    before = copy.deepcopy(built.state_dict())
    assert built.backbone.pos_embed.std() > 0
    weight = built.backbone.layers[0].ffn.layers[0][0].weight
    torch.testing.assert_close(torch.linalg.matrix_rank(weight), torch.tensor(8))
    assert set(before) == set(built.state_dict())


def test_compressed_model_keeps_weights_in_init_weights():
    model = MODELS.build(classifier(dict(type='mmpretrain.VisionTransformer', **VIT)))
    model.init_weights()
    compress_(model, exclude='vit')
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    merge_(model)
    assert not any('init_weights' in vars(m) for m in model.modules())


def test_model_can_be_copied_and_averaged():
    built = low_rank_vit()
    for copied in (copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        assert type(copied) is type(built)
        copied.init_weights()
        assert not torch.equal(copied.pos_embed, built.pos_embed)
    average = ExponentialMovingAverage(built, momentum=0.5)
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(average(x)[0], built(x)[0])
    for p in built.parameters():
        nn.init.ones_(p)
    average.update_parameters(built)
    assert torch.equal(
        average.module.layers[0].attn.qkv.up, built.layers[0].attn.qkv.up
    )


def test_factors_have_layer_wise_learning_rates():
    from mmpretrain.engine.optimizers import (
        LearningRateDecayOptimWrapperConstructor as Constructor,
    )

    model = MODELS.build(
        classifier(dict(type='mmvlfusion.PELAVisionTransformer', **VIT))
    )
    constructor = Constructor(
        dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05)
        ),
        dict(layer_decay_rate=0.5, bias_decay_mult=0.0),
    )
    groups = {g['param_name']: g for g in constructor(model).optimizer.param_groups}
    for kind in ('up', 'down', 'bias'):
        first, second = (groups[f'backbone.layers.{i}.attn.qkv.{kind}'] for i in (0, 1))
        assert second['lr'] == 2 * first['lr']
        assert (first['weight_decay'] == 0) == (kind == 'bias')


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='mmvlfusion.PELAVisionTransformer', **VIT),
        dict(
            type='mmvlfusion.PELASwinTransformer',
            arch=dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4)),
            img_size=32,
            window_size=2,
            pad_small_map=True,
        ),
        dict(
            type='mmvlfusion.LowRank',
            module='mmvlfusion.TNT',
            exclude='tnt',
            arch=dict(TINY_ARCH),
            img_size=32,
            patch_size=8,
        ),
        dict(
            type='mmvlfusion.PELAVisionTransformer',
            host='mmseg',
            img_size=32,
            patch_size=8,
            embed_dims=24,
            num_layers=1,
            num_heads=2,
        ),
    ],
    ids=['vit', 'swin', 'tnt', 'torch attention'],
)
@skip_on_torch_2_1("cannot export the hosts' modules")
def test_exported_model_matches_eager(backbone):
    model = MODELS.build(backbone)
    model.eval()
    x = torch.rand(1, 3, 32, 32)
    exported = torch.export.export(model, (x,)).module()
    for ours, theirs in zip(exported(x), model(x)):
        torch.testing.assert_close(ours, theirs)


def test_to_dense_config_of_classes_and_lists():
    """Configs in the new style have classes instead of names."""
    from mmvlfusion.models import TNT

    dotted = 'mmvlfusion.models.low_rank.builder.build_low_rank'
    low = [dict(type=build, module=TNT, ratio=3) for build in (build_low_rank, dotted)]
    assert to_dense_config(dict(parts=low, pair=tuple(low))) == dict(
        parts=[dict(type=TNT)] * 2, pair=(dict(type=TNT),) * 2
    )
