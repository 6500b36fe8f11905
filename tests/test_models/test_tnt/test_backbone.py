"""The TNT backbone: outputs, parity with timm, sizes and errors."""

import copy
import math

import mmpretrain.models  # noqa: F401
import pytest
import timm
import torch
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint

from mmvlfusion.models import TNT
from mmvlfusion.models.utils import matching_modules, recorded_outputs

from ...helpers import fill, load_tool, needs_full_graph

converter = load_tool('model_converters/tnt.py')


def build(arch, **kwargs):
    kwargs = {'img_size': 32, 'patch_size': 8, **kwargs}
    torch.manual_seed(0)
    model = TNT(arch, **kwargs)
    # Unlike init_weights, this leaves no parameter at zero.
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    return model


def randomize(model):
    """Randomise all weights of a model of timm or mmpretrain."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
        else:
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
    model.eval()
    return model


def backbone_weights(weights):
    return {
        name.removeprefix('backbone.'): value
        for name, value in weights.items()
        if name.startswith('backbone.')
    }


@pytest.mark.parametrize(
    'name, arch, variant',
    [
        ('tnt_s_patch16_224', 'small', 'official'),
        ('tnt_b_patch16_224', 'base', 'official'),
        ('tnt_s_legacy_patch16_224', 's', 'legacy'),
    ],
)
def test_parity_with_timm(name, arch, variant):
    peer = randomize(timm.create_model(name))
    weights, dropped = converter.convert(peer.state_dict(), 'mmvlfusion')
    assert dropped == []
    model = TNT(arch, variant=variant, out_type='raw', out_indices=range(12))
    model.load_state_dict(backbone_weights(weights), strict=True)
    model.eval()

    features = []
    for block in peer.blocks:
        block.register_forward_hook(lambda *args: features.append(args[2][1]))
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        features[-1:] = [peer.forward_features(x)]
        features = features[-12:]
        outs = model(x)
    assert len(outs) == len(features) == 12
    for ours, theirs in zip(outs, features):
        scale = theirs.abs().max()
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=1e-5)


def test_parity_with_mmpretrain():
    peer = randomize(MODELS.build(dict(type='mmpretrain.TNT', arch='s')))
    weights, dropped = converter.convert(peer.state_dict(), 'mmvlfusion')
    assert dropped == []
    model = TNT('small', variant='legacy')
    model.load_state_dict(backbone_weights(weights), strict=True)
    model.eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], peer(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'out_type, shape',
    [
        ('cls_token', (2, 24)),
        ('featmap', (2, 24, 4, 4)),
        ('avg_featmap', (2, 24)),
        ('raw', (2, 17, 24)),
    ],
)
@pytest.mark.parametrize('variant', ['official', 'legacy'])
def test_output_shapes_and_gradients(tiny_arch, out_type, shape, variant):
    model = build(tiny_arch, out_type=out_type, out_indices=(0, -1), variant=variant)
    x = torch.randn(2, 3, 32, 32)
    outs = model(x)
    assert isinstance(outs, tuple) and len(outs) == 2
    assert all(out.shape == shape for out in outs)
    # All parameters receive gradients for every output type.
    sum(out.sin().sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(variant='legacy', out_indices=1),
        dict(with_cp=True, out_indices=(0, 2)),
    ],
)
def test_class_token_only_last_block_matches_full_block(tiny_arch, options):
    """Outputs and gradients equal those of a block that updates all tokens."""
    x = torch.randn(2, 3, 32, 32)
    outs, grads, widths = [], [], []
    for cls_only in (True, False):
        model = build(tiny_arch, cls_only_last_block=cls_only, **options)
        model.layers[-1].register_forward_hook(
            lambda *args: widths.append(args[2][1].shape[1])
        )
        outs.append(model(x))
        sum(out.sin().sum() for out in outs[-1]).backward()
        grads.append([p.grad for p in model.parameters()])
    assert widths[0] == 1
    assert widths[-1] == 17
    torch.testing.assert_close(outs[0], outs[1])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


def test_recorded_blocks_compute_all_tokens(tiny_arch):
    model = build(tiny_arch)
    names = matching_modules(model, [r'layers\.\d\.outer'])
    with recorded_outputs(model, names) as outputs:
        model(torch.randn(2, 3, 32, 32))
    assert [out.shape for out in outputs] == [(2, 17, 24)] * 3


@pytest.mark.parametrize('out_indices', [0, (0, 1)])
def test_blocks_after_last_output_are_not_built(tiny_arch, out_indices):
    model = build(tiny_arch, out_indices=out_indices)
    assert len(model.layers) == max(model.out_indices) + 1
    assert model.norm is None
    full = build(tiny_arch)
    missing = model.load_state_dict(full.state_dict(), strict=False)
    assert missing.missing_keys == []
    model(torch.randn(1, 3, 32, 32))[-1].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('variant', ['official', 'legacy'])
@pytest.mark.parametrize('size', [(32, 32), (24, 64), (37, 51), (5, 9)])
def test_any_image_size_is_padded(tiny_arch, size, variant):
    model = build(tiny_arch, out_type='featmap', variant=variant).eval()
    x = torch.randn(1, 3, *size)
    grid = tuple(math.ceil(side / 8) for side in size)
    assert model(x)[0].shape == (1, 24, *grid)
    padded = torch.nn.functional.pad(
        x, (0, grid[1] * 8 - size[1], 0, grid[0] * 8 - size[0])
    )
    torch.testing.assert_close(model(x)[0], model(padded)[0])


@pytest.mark.parametrize(
    'size, other', [(32, 48), (48, (24, 40)), ((24, 40), (48, 80))]
)
def test_position_embedding_is_resized_on_load(tiny_arch, size, other, tmp_path):
    model = build(tiny_arch, img_size=size).eval()
    larger = build(tiny_arch, img_size=other).eval()
    path = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    load_checkpoint(larger, str(path), map_location='cpu')
    # Resizing at load and in the forward pass give equal outputs.
    x = torch.randn(1, 3, *larger.img_size)
    torch.testing.assert_close(larger(x)[0], model(x)[0])


VARIANTS = pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(variant='legacy'),
        dict(with_se=True),
        dict(inner_blocks=(0,)),
        dict(sentence_pos=False, word_pos=False),
    ],
)


@VARIANTS
def test_checkpointing_matches_eager(tiny_arch, options):
    model = build(tiny_arch, out_type='raw', **options).train()
    x = torch.randn(2, 3, 32, 40, requires_grad=True)
    out = model(x)[0]
    out.sum().backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}

    recomputed = copy.deepcopy(model)
    recomputed.with_cp = True
    recomputed.zero_grad()
    again = recomputed(x.detach())[0]
    again.sum().backward()
    assert torch.equal(out, again)
    for name, parameter in recomputed.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[name])


@needs_full_graph
@VARIANTS
def test_compiled_outputs_match_eager(tiny_arch, options):
    model = build(tiny_arch, out_type='raw', **options).train()
    x = torch.randn(2, 3, 32, 40, requires_grad=True)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(compiled(x)[0], model(x)[0])


def test_bfloat16_is_close_to_full_precision(tiny_arch):
    model = build(tiny_arch, out_type='raw').eval()
    x = torch.randn(2, 3, 40, 24)
    with torch.no_grad():
        out = model(x)[0]
        with torch.autocast('cpu', dtype=torch.bfloat16):
            mixed = model(x)[0]
        low = model.bfloat16()(x.bfloat16())[0]
    assert low.dtype == torch.bfloat16
    for other in (mixed, low):
        assert (other.float() - out).abs().max() < 0.05 * out.abs().max()


@pytest.mark.gpu
def test_gpu_matches_cpu(tiny_arch):
    model = build(tiny_arch, out_type='raw').eval()
    x = torch.randn(2, 3, 40, 24)
    with torch.no_grad():
        out = model(x)[0]
        on_gpu = model.cuda()(x.cuda())[0].cpu()
        torch.testing.assert_close(on_gpu, out, rtol=1e-3, atol=1e-3)
        with torch.autocast('cuda'):
            half = model(x.cuda())[0].float().cpu()
    assert (half - out).abs().max() < 0.05 * out.abs().max()


def test_inner_blocks_select_layers(tiny_arch):
    model = build(tiny_arch, inner_blocks=(0, -1))
    assert [layer.inner is not None for layer in model.layers] == [True, False, True]
    assert [layer.to_sentence is not None for layer in model.layers] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize('frozen_stages', [0, 2, 3])
def test_frozen_stages_freeze_layers(tiny_arch, frozen_stages):
    model = build(tiny_arch, frozen_stages=frozen_stages, drop_path_rate=0.5)
    model.train()
    assert not model.cls_token.requires_grad
    assert not model.word_embed.training
    for i, layer in enumerate(model.layers):
        frozen = i < frozen_stages
        assert layer.training != frozen
        assert all(p.requires_grad != frozen for p in layer.parameters())
    assert model.norm.weight.requires_grad == (frozen_stages < 3)


def test_layer_depth_of_parameters(tiny_arch):
    model = build(tiny_arch)
    depths = {
        name: model.get_layer_depth('backbone.' + name, 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {total for _, total in depths.values()} == {5}
    assert depths['cls_token'][0] == 0
    assert depths['sentence_embed.proj.weight'][0] == 0
    assert depths['layers.0.inner.attn.qkv.weight'][0] == 1
    assert depths['layers.2.outer.attn.qkv.weight'][0] == 3
    assert depths['norm.weight'][0] == 4
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


def test_output_values_are_unchanged(tiny_arch):
    """Compare with the outputs of a fixed initialisation."""
    model = fill(TNT(tiny_arch, img_size=16, patch_size=8, out_type='raw'))
    x = (torch.arange(3 * 16 * 16, dtype=torch.float64) * 0.11).sin()
    out = model(x.reshape(1, 3, 16, 16))[0]
    assert out.shape == (1, 5, 24)
    torch.testing.assert_close(
        out[0, 0, :4], torch.tensor(EXPECTED, dtype=torch.float64), rtol=1e-6, atol=1e-6
    )


EXPECTED = [-0.168743883, 0.346139375, 0.259159953, 0.054291033]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(arch='huge'), "arch='huge' is not one of"),
        (dict(arch=dict(num_layers=3)), 'missing'),
        (dict(variant='timm'), "variant='timm' is not one of"),
        (dict(out_type='map'), "out_type='map' is not one of"),
        (dict(out_indices=(2, 12)), r'out_indices has 12, but the blocks are 0'),
        (dict(out_indices=()), 'out_indices is empty'),
        (dict(inner_blocks=(0, 15)), r'inner_blocks has 15'),
        (dict(inner_blocks='none'), "inner_blocks='none' is not a sequence"),
        (dict(frozen_stages=13), 'frozen_stages=13'),
        (dict(cls_only_last_block=True, out_type='raw'), "out_type='raw'"),
        (dict(cls_only_last_block=True, with_se=True), 'with_se=True'),
    ],
)
def test_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TNT(**kwargs)


def test_rejects_indivisible_heads(tiny_arch):
    tiny_arch['num_heads_inner'] = 4
    with pytest.raises(ValueError, match='num_heads=4'):
        TNT(tiny_arch)


@pytest.mark.parametrize(
    'other, message',
    [
        (dict(arch='tiny'), 'of another architecture'),
        (dict(arch='small', variant='legacy'), 'of another architecture'),
    ],
)
def test_rejects_checkpoint_of_another_architecture(other, message, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(TNT(**other).state_dict(), path)
    model = TNT('small', init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(ValueError, match=message):
        model.init_weights()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(inner_blocks=(0,)), "no 'inner' in block 1"),
        (dict(out_indices=1), "no 'outer' in block 2"),
        (dict(with_se=True), "a 'outer.se' in block 0"),
    ],
)
def test_rejects_checkpoint_of_other_blocks(tiny_arch, options, message, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(build(tiny_arch, **options).state_dict(), path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(build(tiny_arch), str(path))


def test_rejects_checkpoint_of_another_model(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save({'conv1.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match='tools/model_converters/tnt.py'):
        load_checkpoint(TNT('tiny'), str(path))


@pytest.mark.parametrize('variant', ['official', 'legacy'])
def test_exports_with_dynamic_batch_match_eager(variant, tiny_arch):
    model = build(dict(tiny_arch, num_layers=1), variant=variant).eval()
    batch = {0: torch.export.Dim('batch', min=1)}
    x = torch.randn(2, 3, 32, 32)
    exported = torch.export.export(model, (x,), dynamic_shapes=(batch,))
    x = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported.module()(x)[0], model(x)[0])
