"""VSSD: outputs of the authors' code, sizes, checkpoints and errors."""

import copy

import pytest
import torch
from mmengine.runner import load_checkpoint

from mmvlfusion.models import VSSD

from ...helpers import check_recomputation, fill

ARCH = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(2, 2, 4, 4), state_dims=6)
STAGES = (0, 1, 2, 3)

# Outputs of the authors' code (YuHengsss/VSSD, 2024-08) in double precision with the
# weights of ``fill``: the first four channels of the first cell of each stage for an
# image of 32 x 40 pixels, and of the pooled feature of a 64 x 64 image.
EXPECTED_MAPS = [
    [-0.223313718, -0.294033401, 0.14984719, 0.183451266],
    [0.171165207, 0.083105568, -0.028634166, 0.033242604],
    [0.081446474, -0.332257017, -0.091219377, -0.210571933],
    [-0.205273235, -0.180751295, -0.110730142, 0.074057426],
]
EXPECTED_FEATURE = [-0.181712901, -0.145372558, -0.054468877, 0.104175925]


def build(**kwargs):
    torch.manual_seed(0)
    model = VSSD(**{'arch': ARCH, **kwargs})
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=0.02, std=0.2)
    return model


def test_maps_equal_those_of_the_authors_code():
    model = fill(VSSD(ARCH, out_type='featmap', out_indices=STAGES))
    x = (torch.arange(3 * 32 * 40, dtype=torch.float64) * 0.11).sin()
    outs = model(x.reshape(1, 3, 32, 40))
    assert [out.shape[1:] for out in outs] == [
        (8, 8, 10),
        (16, 4, 5),
        (32, 2, 3),
        (64, 1, 2),
    ]
    for out, expected in zip(outs, EXPECTED_MAPS):
        torch.testing.assert_close(
            out[0, :4, 0, 0],
            torch.tensor(expected, dtype=torch.float64),
            rtol=1e-6,
            atol=1e-8,
        )


def test_feature_equals_that_of_the_authors_code():
    model = fill(VSSD(ARCH))
    x = (torch.arange(3 * 64 * 64, dtype=torch.float64) * 0.11).sin()
    out = model(x.reshape(1, 3, 64, 64))[0]
    torch.testing.assert_close(
        out[0, :4],
        torch.tensor(EXPECTED_FEATURE, dtype=torch.float64),
        rtol=1e-6,
        atol=1e-8,
    )


@pytest.mark.parametrize(
    'out_type, shapes',
    [
        ('featmap', [(2, 8, 8, 8), (2, 64, 1, 1)]),
        ('avg_featmap', [(2, 8), (2, 64)]),
        ('raw', [(2, 64, 8), (2, 1, 64)]),
    ],
)
def test_output_shapes_and_gradients(out_type, shapes):
    model = build(out_type=out_type, out_indices=(0, -1))
    outs = model(torch.randn(2, 3, 32, 32))
    assert [out.shape for out in outs] == shapes
    sum(out.sin().sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('size', [(32, 32), (37, 51), (5, 9), (1, 1)])
def test_any_image_size_is_halved_with_rounding_up(size):
    """A side of one cell stays one cell."""
    model = build(out_type='featmap', out_indices=STAGES).eval()
    outs = model(torch.randn(1, 3, *size))
    for i, out in enumerate(outs):
        stride = 4 * 2**i
        assert out.shape[2:] == tuple(-(-side // stride) for side in size)
        assert out.isfinite().all()


@pytest.mark.parametrize('out_indices', [0, (0, 2)])
def test_stages_after_last_output_are_not_built(out_indices):
    model = build(out_indices=out_indices)
    assert len(model.stages) == max(model.out_indices) + 1
    full = build(out_indices=STAGES)
    assert model.load_state_dict(full.state_dict(), strict=False).missing_keys == []
    model(torch.randn(1, 3, 32, 32))[-1].sum().backward()
    assert all(
        p.grad is not None
        for name, p in model.named_parameters()
        if not name.startswith('norm0')
    )


def test_compile_and_checkpointing_match_eager():
    model = build(out_type='raw', out_indices=STAGES).eval()
    x = torch.randn(2, 3, 32, 40)
    check_recomputation(build(out_type='raw'), x)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(x), model(x))


def test_outputs_of_exported_model_match_eager_for_any_batch():
    model = build().eval()
    x = torch.randn(5, 3, 32, 32)
    exported = torch.export.export(
        model, (x[:2],), dynamic_shapes=({0: torch.export.Dim('batch')},)
    ).module()
    torch.testing.assert_close(exported(x), model(x))


@pytest.mark.parametrize('frozen_stages', [0, 2, 4])
def test_frozen_stages_freeze_stages(frozen_stages):
    model = build(frozen_stages=frozen_stages, drop_path_rate=0.5).train()
    assert not model.stem.training
    assert not any(p.requires_grad for p in model.stem.parameters())
    for i, stage in enumerate(model.stages):
        frozen = i < frozen_stages
        assert stage.training != frozen
        assert all(p.requires_grad != frozen for p in stage.parameters())
    assert model.norm3.weight.requires_grad == (frozen_stages < 4)


def test_layer_depth_of_parameters():
    model = build(out_indices=STAGES)
    depths = {
        name: model.get_layer_depth('backbone.' + name, 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {total for _, total in depths.values()} == {7}
    assert depths['stem.conv1.0.weight'][0] == 0
    assert depths['stages.0.blocks.0.attn.log_rate'][0] == 1
    assert depths['stages.2.merge.0.0.weight'][0] == 3
    assert depths['stages.2.blocks.1.conv1.weight'][0] == 4
    assert depths['stages.3.blocks.0.attn.qkv.weight'][0] == 5
    assert depths['norm0.weight'][0] == depths['norm3.weight'][0] == 6
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (6, 7)


def test_drop_path_increases_linearly():
    model = build(drop_path_rate=0.4)
    rates = [block.drop_path.drop_prob for s in model.stages for block in s.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(arch='huge'), "arch='huge' is not one of"),
        (dict(arch=dict(embed_dims=8)), 'missing'),
        (dict(arch=dict(ARCH, num_heads=(2, 2))), 'one number for each stage'),
        (
            dict(arch=dict(ARCH, depths=(1, 1, 0, 1))),
            'arch.depths=0 must be an integer',
        ),
        (dict(arch=dict(ARCH, embed_dims=9)), 'embed_dims=9, but the stem needs'),
        (dict(arch=dict(ARCH, num_heads=(3, 2, 4, 4))), 'not divisible by num_heads=3'),
        (dict(arch=dict(ARCH, num_heads=(2, 2, 4, 5))), 'not divisible by num_heads=5'),
        (dict(arch=dict(ARCH, state_dims=0)), 'arch.state_dims=0'),
        (dict(out_type='cls_token'), "out_type='cls_token' is not one of"),
        (dict(out_indices=4), 'out_indices has 4, but the stages are 0'),
        (dict(frozen_stages=5), r'-1 ... 4, the number of stages'),
    ],
)
def test_rejects_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


@pytest.mark.parametrize(
    'other, message',
    [
        (dict(arch=dict(ARCH, embed_dims=16)), 'stem.conv1.0.weight has the shape'),
        (dict(arch=dict(ARCH, depths=(1, 1, 3, 1))), '3 blocks in stage 2, expected 2'),
        (dict(out_indices=1), '0 blocks in stage 2, expected 2'),
        (dict(arch=dict(ARCH, state_dims=5)), 'of another architecture: .*attn'),
        (dict(expand=1), 'of another architecture: .*attn'),
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
    with pytest.raises(ValueError, match='tools/model_converters/vssd.py'):
        load_checkpoint(build(), str(path))


@pytest.mark.parametrize(
    'arch, params, macs',
    [
        ('micro', 13.51, 2.39),
        ('tiny', 24.27, 4.66),
        ('small', 40.08, 7.71),
        ('base', 88.82, 16.65),
    ],
)
def test_sizes_of_the_classifiers(arch, params, macs):
    """Millions of parameters and billions of MACs at 224 pixels."""
    from mmvlfusion.analysis.complexity import measure

    model = VSSD(arch)
    head = 1000 * model.embed_dims[-1]
    counts = measure(model, lambda: model(torch.zeros(1, 3, 224, 224)))
    assert (counts.params + head + 1000) / 1e6 == pytest.approx(params, abs=0.005)
    assert (counts.operations('macs') + head) / 1e9 == pytest.approx(macs, abs=0.005)
