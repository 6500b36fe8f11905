"""Token merging: values of the authors' code, both kinds of blocks, refused models."""

import copy
import pickle

import pytest
import timm.models.deit
import timm.models.vision_transformer
import torch
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.models.token_merging import (
    match_tokens,
    merge_schedule,
    merge_tokens_,
    token_sources,
)

from ...helpers import (
    HOST_MODELS,
    TINY_ARCH,
    VIT,
    caption_batch,
    classifier,
    fill,
    host_samples,
    make_pretraining,
)

ARCH = dict(embed_dims=24, num_layers=3, num_heads=3, feedforward_channels=48)
MMPRETRAIN = dict(
    type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8
)


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    init_default_scope('mmpretrain')


def tome(**kwargs):
    """Build a small ViT of mmpretrain with token merging."""
    cfg = {**MMPRETRAIN, 'type': 'mmvlfusion.ToMe', 'module': MMPRETRAIN['type']}
    return evaluated({**cfg, 'r': 3, **kwargs})


def evaluated(cfg):
    """Build a backbone in evaluation mode."""
    model = MODELS.build(cfg)
    model.eval()  # Some backbones do not return themselves here.
    return model


def timm_vit(distilled=False):
    """Build a small ViT of timm with fixed weights."""
    cls = (
        timm.models.deit.VisionTransformerDistilled
        if distilled
        else timm.models.vision_transformer.VisionTransformer
    )
    return fill(
        cls(
            img_size=32,
            patch_size=8,
            embed_dim=24,
            depth=3,
            num_heads=3,
            mlp_ratio=2,
            num_classes=4,
        )
    )


def images():
    values = torch.arange(2 * 3 * 32 * 32, dtype=torch.float64) * 0.71
    return values.sin().reshape(2, 3, 32, 32)


@pytest.mark.parametrize(
    'distilled, r, prop_attn, logits, sizes',
    [
        (
            False,
            3,
            True,
            [0.11294114667139, -0.09340702981528, -0.18426876661169, 0.43782397329480],
            [1, 1, 3, 1, 2, 2, 5, 2],
        ),
        (
            False,
            (3, -1.0),
            False,
            [0.11294062647995, -0.09340815631064, -0.18426631956711, 0.43782091415770],
            [1, 1, 3, 5, 1, 2, 1, 3],
        ),
        (
            True,
            3,
            True,
            [0.02246948083536, 0.29330397496406, -0.13976383208279, 0.29018452342487],
            [1, 1, 1, 3, 2, 1, 2, 1, 6],
        ),
        (
            True,
            (3, -1.0),
            False,
            [0.02247159696362, 0.29330047896817, -0.13975996836337, 0.29018141058759],
            [1, 1, 4, 1, 4, 2, 2, 2, 1],
        ),
    ],
)
def test_outputs_are_those_of_the_authors(distilled, r, prop_attn, logits, sizes):
    """The values are those of facebookresearch/ToMe with the same weights."""
    model = timm_vit(distilled)
    merge_tokens_(model, r, prop_attn, trace=True)
    with torch.no_grad():
        out = model(images())
    torch.testing.assert_close(
        out[0], torch.tensor(logits, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert token_sources(model)[0].sum(1).tolist() == sizes


def test_blocks_of_both_hosts_agree():
    """The same weights in mmpretrain's classes give the features of timm's."""
    theirs = timm_vit()
    ours = tome(trace=True).double()
    names = {
        'blocks': 'layers',
        'norm1': 'ln1',
        'norm2': 'ln2',
        'mlp.fc1': 'ffn.layers.0.0',
        'mlp.fc2': 'ffn.layers.1',
        'patch_embed.proj': 'patch_embed.projection',
    }
    weights = {}
    for key, value in theirs.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        weights['ln1' + key[4:] if key.startswith('norm.') else key] = value
    weights = {k: v for k, v in weights.items() if not k.startswith('head.')}
    weights.update({k: v for k, v in ours.state_dict().items() if k not in weights})
    ours.load_state_dict(weights)
    merge_tokens_(theirs, 3, trace=True)
    with torch.no_grad():
        expected = theirs.forward_features(images())[:, 0]
        torch.testing.assert_close(ours(images())[0], expected)
    assert torch.equal(token_sources(ours), token_sources(theirs))


def test_no_merging_leaves_the_output_unchanged():
    dense = evaluated(MMPRETRAIN)
    model = tome(r=0)
    model.load_state_dict(dense.state_dict())
    x = images().float()
    torch.testing.assert_close(model(x)[0], dense(x)[0])


def test_merged_tokens_are_means_of_their_sources():
    x = torch.randn(2, 9, 4)
    matching = match_tokens(x, 3, num_prefix_tokens=1)
    sources = matching.sum(torch.eye(9).expand(2, -1, -1))
    torch.testing.assert_close(sources @ x, matching.sum(x))
    # Each token has one place, the class token stays first and is not merged.
    assert torch.equal(sources.sum(1), torch.ones(2, 9))
    assert torch.equal(sources[:, 0], torch.eye(9)[:1].expand(2, -1))
    assert torch.equal(sources[:, :, 0], torch.eye(6)[:1].expand(2, -1))


def test_average_weighs_tokens_by_size():
    model = tome(out_type='avg_featmap', r=5, trace=True).double()
    raw = tome(out_type='raw', r=5).double()
    raw.load_state_dict(model.state_dict(), strict=False)
    x = images()
    tokens = raw(x)[0][:, 1:]
    out = model(x)[0]
    sizes = token_sources(model).sum(2, keepdim=True)[:, 1:].double()
    assert sizes.max() > 1
    mean = (tokens * sizes).sum(1) / 16
    torch.testing.assert_close(out, model.ln2(mean))


def test_trains_copies_and_pickles():
    model = tome(r=[5, 2], drop_path_rate=0.2, trace=True)
    model.train()
    x = images().float()
    model(x)[0].square().sum().backward()
    assert all(p.grad is not None for p in model.layers.parameters())
    model.eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x)[0], model(x)[0])
        # The copy has its own sizes.
        other(x[:1])
        assert len(token_sources(model)) == 2
    assert type(model).__name__ == 'VisionTransformer'


def test_block_can_run_again():
    """Gradient checkpointing runs a block again after the later ones."""
    model = tome()
    inputs = []
    model.layers[1].register_forward_pre_hook(lambda m, args: inputs.append(args[0]))
    outputs = []
    model.layers[1].register_forward_hook(lambda m, args, out: outputs.append(out))
    model(images().float())
    model.layers[1](inputs[0])
    assert torch.equal(*outputs)


def test_merges_tokens_of_low_rank_layers():
    cfg = dict(MMPRETRAIN, type='mmvlfusion.PELAVisionTransformer')
    model = evaluated(dict(cfg, out_type='avg_featmap'))
    merge_tokens_(model, 3)
    x = images().float()
    assert model(x)[0].shape == (2, 24)
    # The class has a mixin of both methods.
    assert torch.equal(pickle.loads(pickle.dumps(model))(x)[0], model(x)[0])


def test_classifier_and_timm_backbone():
    cfg = classifier(24, type='mmvlfusion.ToMe', module='VisionTransformer', r=2)
    cfg['backbone'].update(arch=VIT, img_size=64, patch_size=16)
    model = MODELS.build(cfg)
    data = model.data_preprocessor(host_samples('mmpretrain'), training=True)
    model(**data, mode='loss')['loss'].backward()
    assert len(model.eval()(**data, mode='predict')) == 2
    backbone = MODELS.build(
        dict(
            type='mmvlfusion.ToMe',
            module='mmpretrain.TIMMBackbone',
            model_name='vit_tiny_patch16_224',
            img_size=32,
            patch_size=8,
            depth=2,
            r=4,
        )
    )
    assert backbone(images().float())[0].shape == (2, 17 - 2 * 4, 192)


def test_encoder_of_a_fusion(tokenizer_dir):
    model = make_pretraining(
        tokenizer_dir,
        names=('mlm', 'matching', 'contrastive', 'prefix'),
        image_norm=False,
        backbone={
            **MMPRETRAIN,
            'type': 'mmvlfusion.ToMe',
            'module': MMPRETRAIN['type'],
            'out_type': 'raw',
            'r': 2,
        },
    )
    batch = caption_batch()
    assert model.encode_images(batch['images'])[0].shape == (4, 17 - 3 * 2, 24)
    losses = model(**batch, mode='loss')
    model.parse_losses(losses)[0].backward()
    assert model.backbone.layers[0].attn.qkv.weight.grad is not None


def test_operations_of_deit_small():
    """ToMe, Table 6: DeiT-S with r = 13 has 2.7 G operations."""
    model = MODELS.build(
        dict(
            type='mmvlfusion.ToMe',
            module='mmpretrain.VisionTransformer',
            arch='deit-small',
            r=13,
        )
    )
    counts = measure(model, lambda: model(torch.zeros(1, 3, 224, 224)))
    assert round(counts.operations('macs') / 1e9, 1) == 2.7


@pytest.mark.parametrize(
    'r, expected',
    [
        (3, [3, 3, 3, 3]),
        ([5, 2], [5, 2, 0, 0]),
        ((4, -1.0), [8, 5, 2, 0]),
        ([4, 1.0], [0, 2, 5, 8]),
        ((4, 0.0), [4, 4, 4, 4]),
    ],
)
def test_schedule(r, expected):
    assert merge_schedule(r, num_layers=4, num_patches=16) == expected


@pytest.mark.parametrize(
    'r, message',
    [
        (16, r'r=16 merges 16 tokens in a block, but an image has 16'),
        ([2, 20], r'merges 20 tokens'),
        (-1, r'r=-1 must be an integer of at least 0'),
        (1.5, r'r=1.5 must be an integer'),
        ('3', r"r='3' must be a number, a list"),
        ([1, 1, 1, 1], r'has 4 numbers, but there are 3 blocks'),
        ((2, 1.5), r'r\[1\]=1.5 must be a number within -1'),
    ],
)
def test_refuses_bad_r(r, message):
    with pytest.raises(ValueError, match=message):
        tome(r=r)


def test_refuses_models_without_merging():
    build = dict(type='mmvlfusion.ToMe', r=3)
    with pytest.raises(ValueError, match='cannot merge the tokens of TNT'):
        MODELS.build(dict(build, module='mmvlfusion.TNT', arch=TINY_ARCH))
    with pytest.raises(ValueError, match='cannot merge the tokens of VSSD'):
        MODELS.build(dict(build, module='mmvlfusion.VSSD'))
    with pytest.raises(ValueError, match="has out_type='featmap'"):
        tome(out_type='featmap')
    segmentor = HOST_MODELS['UPerNet'][1]()
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match='cannot be used in EncoderDecoder: its decod'):
        MODELS.build({**segmentor, **build, 'module': segmentor['type']})
    with pytest.raises(ValueError, match='are merged already'):
        merge_tokens_(tome(), 2)
    with pytest.raises(ValueError, match='VisionTransformer has no traced tokens'):
        token_sources(tome())
    register = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=3, reg_tokens=4
    )
    with pytest.raises(ValueError, match='without register tokens'):
        merge_tokens_(register, 2)
