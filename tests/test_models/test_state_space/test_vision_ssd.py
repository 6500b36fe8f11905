"""VisionSSD: outputs, order of tokens, sizes, checkpoints and errors."""

import copy
import math

import pytest
import torch
from mmengine.runner import load_checkpoint

from mmvlfusion.models import VisionSSD

from ...helpers import check_recomputation

ARCH = dict(embed_dims=24, num_layers=3, head_dims=8, state_dims=6)
MODES = ('non_causal', 'causal')


def build(**kwargs):
    torch.manual_seed(0)
    model = VisionSSD(**{'arch': ARCH, 'img_size': 32, 'patch_size': 8, **kwargs})
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    return model


@pytest.mark.parametrize(
    'out_type, shape',
    [
        ('cls_token', (2, 24)),
        ('featmap', (2, 24, 4, 4)),
        ('avg_featmap', (2, 24)),
        ('raw', (2, 17, 24)),
    ],
)
@pytest.mark.parametrize('mode', MODES)
def test_output_shapes_and_gradients(mode, out_type, shape):
    model = build(out_type=out_type, out_indices=(0, -1), mode=mode)
    outs = model(torch.randn(2, 3, 32, 32))
    assert [out.shape for out in outs] == [shape] * 2
    # All parameters receive gradients for every output type.
    sum(out.sin().sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_output_types_agree():
    """The class token comes first in the raw output, and then the map."""
    x = torch.randn(2, 3, 32, 40)
    outs = {}
    for out_type in VisionSSD.OUT_TYPES:
        outs[out_type] = build(out_type=out_type).eval()(x)[0]
    raw = outs['raw']
    assert torch.equal(raw[:, 0], outs['cls_token'])
    assert torch.equal(raw[:, 1:].mT.unflatten(2, (4, 5)), outs['featmap'])
    torch.testing.assert_close(raw[:, 1:].mean(dim=1), outs['avg_featmap'])


def test_model_without_class_token():
    model = build(with_cls_token=False, out_type='raw')
    assert model.cls_token is None
    assert model(torch.randn(1, 3, 32, 32))[0].shape == (1, 16, 24)


def test_causal_class_token_reads_all_patches():
    model = build(mode='causal', out_indices=0).eval()
    torch.nn.init.constant_(model.layers[0].attn.step_bias, -3.0)  # Slow decay.
    x = torch.randn(1, 3, 32, 32)
    out = model(x)[0]
    for row in (0, 24):
        changed = x.clone()
        changed[:, :, row : row + 8] += 1
        assert (model(changed)[0] - out).abs().max() > 1e-4


def test_every_second_causal_block_reads_backwards():
    """Reversed patches and exchanged directions give reversed outputs."""
    model = build(mode='causal', with_cls_token=False, out_type='raw')
    assert [layer.backwards for layer in model.layers] == [False, True, False]
    x = torch.randn(2, 16, 24)
    forward, backward = copy.deepcopy(model.layers[0]), copy.deepcopy(model.layers[0])
    backward.backwards = True
    torch.testing.assert_close(backward(x.flip(1), (4, 4)).flip(1), forward(x, (4, 4)))


@pytest.mark.parametrize('size', [(32, 32), (24, 64), (37, 51), (5, 9)])
def test_any_image_size_is_padded(size):
    model = build(out_type='featmap').eval()
    x = torch.randn(1, 3, *size)
    grid = tuple(math.ceil(side / 8) for side in size)
    assert model(x)[0].shape == (1, 24, *grid)
    padding = (0, grid[1] * 8 - size[1], 0, grid[0] * 8 - size[0])
    padded = torch.nn.functional.pad(x, padding)
    torch.testing.assert_close(model(x)[0], model(padded)[0])


@pytest.mark.parametrize('size, other', [(32, 48), (48, (24, 40))])
def test_position_embedding_is_resized_on_load(size, other, tmp_path):
    model = build(img_size=size).eval()
    larger = build(img_size=other).eval()
    path = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    load_checkpoint(larger, str(path), map_location='cpu')
    # Resizing at load and in the forward pass give equal outputs.
    x = torch.randn(1, 3, *larger.img_size)
    torch.testing.assert_close(larger(x)[0], model(x)[0])


@pytest.mark.parametrize('out_indices', [0, (0, 1)])
def test_blocks_after_last_output_are_not_built(out_indices):
    model = build(out_indices=out_indices)
    assert len(model.layers) == max(model.out_indices) + 1
    assert model.norm is None
    missing = model.load_state_dict(build().state_dict(), strict=False)
    assert missing.missing_keys == []


@pytest.mark.parametrize('mode', MODES)
def test_compile_and_checkpointing_match_eager(mode):
    x = torch.randn(2, 3, 32, 40)
    check_recomputation(build(out_type='raw', mode=mode), x)
    arch = dict(ARCH, num_layers=2)
    model = build(arch=arch, out_type='raw', mode=mode, chunk_size=8).eval()
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(x), model(x))


def test_bfloat16_is_close_to_full_precision():
    model = build(out_type='raw').eval()
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
@pytest.mark.parametrize('mode', MODES)
def test_gpu_matches_cpu(mode):
    model = build(out_type='raw', mode=mode).eval()
    x = torch.randn(2, 3, 40, 24)
    with torch.no_grad():
        out = model(x)[0]
        on_gpu = model.cuda()(x.cuda())[0].cpu()
        torch.testing.assert_close(on_gpu, out, rtol=1e-3, atol=1e-3)
        with torch.autocast('cuda'):
            half = model(x.cuda())[0].float().cpu()
    assert (half - out).abs().max() < 0.05 * out.abs().max()


@pytest.mark.parametrize('frozen_stages', [0, 2, 3])
def test_frozen_stages_freeze_layers(frozen_stages):
    model = build(frozen_stages=frozen_stages, drop_path_rate=0.5).train()
    assert not model.cls_token.requires_grad and not model.pos_embed.requires_grad
    assert not model.patch_embed.training
    for i, layer in enumerate(model.layers):
        frozen = i < frozen_stages
        assert layer.training != frozen
        assert all(p.requires_grad != frozen for p in layer.parameters())
    assert model.norm.weight.requires_grad == (frozen_stages < 3)


def test_layer_depth_of_parameters():
    model = build()
    depths = {
        name: model.get_layer_depth('backbone.' + name, 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {total for _, total in depths.values()} == {5}
    assert depths['cls_token'][0] == depths['pos_embed'][0] == 0
    assert depths['layers.0.attn.in_proj.weight'][0] == 1
    assert depths['layers.2.norm1.weight'][0] == 3
    assert depths['norm.weight'][0] == 4
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


@pytest.mark.parametrize(
    'arch, expand, params',
    [
        ('tiny', 1, 5.42),
        ('tiny', 2, 6.78),
        ('small', 1, 20.57),
        ('small', 2, 25.96),
        ('base', 1, 80.10),
        ('base', 2, 101.56),
    ],
)
def test_parameters_in_millions(arch, expand, params):
    with torch.device('meta'):
        model = VisionSSD(arch, expand=expand)
    counted = sum(p.numel() for p in model.parameters()) / 1e6
    assert counted == pytest.approx(params, abs=0.005)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(arch='huge'), "arch='huge' is not one of"),
        (dict(arch=dict(num_layers=3)), 'missing'),
        (dict(arch=dict(ARCH, head_dims=7)), 'not divisible by head_dims=7'),
        (dict(arch=dict(ARCH, state_dims=0)), 'state_dims=0'),
        (dict(expand=1.1), 'not divisible by head_dims=8'),
        (dict(expand=0), 'expand=0 must be a number above 0'),
        (dict(mode='scan'), "mode='scan' is not one of"),
        (dict(chunk_size=0), 'chunk_size=0 must be an integer of at least 1'),
        (dict(out_type='map'), "out_type='map' is not one of"),
        (dict(with_cls_token=False), "out_type='cls_token' needs with_cls_token=True"),
        (dict(out_indices=(2, 3)), 'out_indices has 3, but the blocks are 0'),
        (dict(out_indices=()), 'out_indices is empty'),
        (dict(frozen_stages=4), r'-1 ... 3, the number of blocks'),
    ],
)
def test_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


@pytest.mark.parametrize(
    'other, message',
    [
        (dict(patch_size=16), 'patch_embed.projection.weight has the shape'),
        (dict(expand=1), 'of another architecture: .*attn'),
        (dict(mode='causal'), 'of another architecture: .*conv'),
        (dict(arch=dict(ARCH, num_layers=2)), '2 blocks, expected 3'),
        (dict(arch=dict(ARCH, num_layers=4)), '4 blocks, expected 3'),
        (
            dict(with_cls_token=False, out_type='avg_featmap'),
            'no class token. Set with_cls_token=False',
        ),
    ],
)
def test_rejects_checkpoint_of_another_architecture(other, message, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(build(**other).state_dict(), path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(build(), str(path))


def test_rejects_checkpoint_of_another_model(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save({'conv1.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no key 'patch_embed.projection.weight'"):
        load_checkpoint(build(), str(path))
