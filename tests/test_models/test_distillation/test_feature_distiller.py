"""Students of other depth, the losses of TinyBERT and MaskAlign, and bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.models.distillation.attention import attention_names, recorded_scores
from mmvlfusion.models.distillation.features import pair_layers
from mmvlfusion.models.distillation.losses.mask_align import Masked, Targets
from mmvlfusion.models.layers import SelfAttention

from ...helpers import SWIN, VIT, classifier, flatten_output, host_samples

TEACHER = dict(VIT, num_layers=4)
HIDDEN = dict(type='mmvlfusion.HiddenStateLoss', features='vit', in_channels=24)
ATTENTION = dict(type='mmvlfusion.AttentionScoreLoss', features='vit')
PREDICTION = dict(type='mmvlfusion.PredictionLoss')
ALIGN = dict(
    type='mmvlfusion.MaskAlignLoss', features='vit', in_channels=24, keep=0.5, top=2
)


def vit(arch=VIT, **kwargs):
    return classifier(
        arch['embed_dims'],
        type='VisionTransformer',
        arch=arch,
        img_size=64,
        patch_size=16,
        **kwargs,
    )


def swin(depths):
    return classifier(
        192,
        type='SwinTransformer',
        arch=dict(SWIN, depths=depths),
        img_size=64,
        window_size=4,
        pad_small_map=True,
    )


def build(losses, student=None, teacher=None, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        copy.deepcopy(
            dict(
                type='mmvlfusion.FeatureDistiller',
                student=student or vit(),
                teacher=teacher or vit(TEACHER),
                teacher_ckpt=None,
                losses=losses,
                **kwargs,
            )
        )
    )


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def trained(tmp_path):
    """Build a distiller, and load a teacher of random weights."""

    def make(losses, **kwargs):
        model = build(losses, **kwargs)
        path = str(tmp_path / 'teacher.pth')
        torch.save(dict(state_dict=model.teacher.state_dict()), path)
        model.teacher_ckpt = path
        model.init_weights()
        return model.train()

    return make


def run(model):
    data = model.data_preprocessor(host_samples('mmpretrain'), training=True)
    data['inputs'] = data['inputs'] / 255
    return model(**data, mode='loss')


@pytest.mark.parametrize(
    'losses',
    [
        dict(hidden=HIDDEN, attention=ATTENTION, prediction=PREDICTION),
        dict(align=ALIGN),
        dict(align=dict(ALIGN, keep=1.0)),
        dict(align=dict(ALIGN, mode='random')),
    ],
    ids=['TinyBERT', 'MaskAlign', 'all patches', 'random patches'],
)
def test_student_of_half_the_depth(losses, trained):
    model = trained(losses, initial_blocks='vit')
    assert torch.equal(
        model.student.backbone.layers[1].attn.qkv.weight,
        model.teacher.backbone.layers[3].attn.qkv.weight,
    )
    values = run(model)
    assert set(values) == {'loss_base', *(f'loss_{name}' for name in losses)}
    model.parse_losses(values)[0].backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())
    kinds = {key.split('.')[0] for key in model.state_dict()}
    assert kinds <= {'student', 'losses'} and model.deploy_model is model.student
    only_distilled = trained(losses, base_weight=0)
    assert set(run(only_distilled)) == {f'loss_{name}' for name in losses}


def test_swin_student_within_stages(trained):
    losses = dict(
        hidden=dict(type='mmvlfusion.HiddenStateLoss', features='swin'),
        attention=dict(type='mmvlfusion.AttentionScoreLoss', features='swin'),
        align=dict(
            type='mmvlfusion.MaskAlignLoss',
            features=[r'backbone\.stages\.2\.blocks\.\d+'],
            in_channels=96,
            keep=1.0,
        ),
    )
    model = trained(
        losses,
        student=swin((1, 1, 2, 1)),
        teacher=swin((2, 1, 3, 1)),
        initial_blocks='swin',
    )
    pairs = dict(zip(*pair_layers('swin', model.student, model.teacher)))
    assert list(pairs.values()) == [
        f'backbone.stages.{stage}.blocks.{block}'
        for stage, block in ((0, 1), (1, 0), (2, 1), (2, 2), (3, 0))
    ]
    assert torch.equal(
        model.student.backbone.stages[2].blocks[0].ffn.layers[1].weight,
        model.teacher.backbone.stages[2].blocks[1].ffn.layers[1].weight,
    )
    model.parse_losses(run(model))[0].backward()


def test_pairs_of_twelve_and_six_blocks():
    student = torch.nn.ModuleDict(dict(blocks=torch.nn.Sequential(*_blocks(6))))
    teacher = torch.nn.ModuleDict(dict(blocks=torch.nn.Sequential(*_blocks(12))))
    _, names = pair_layers('vit', student, teacher)
    assert names == [f'blocks.{i}' for i in (1, 3, 5, 7, 9, 11)]


def _blocks(number):
    return [torch.nn.Identity() for _ in range(number)]


def test_losses_of_tinybert_match_equations():
    """TinyBERT, Eq. 7 to 10."""
    model = build(dict(hidden=HIDDEN, attention=ATTENTION, prediction=PREDICTION))
    x = [torch.randn(2, 5, 24) for _ in range(6)]
    hidden = model.losses['hidden']
    torch.testing.assert_close(
        hidden(x[:3], x[3:]),
        sum((hidden.fit(x[i]) - x[i + 3]).square().mean() for i in range(3)),
    )
    scores = [torch.randn(2, 3, 5, 5) for _ in range(4)]
    expected = sum((scores[i] - scores[i + 2]).square().mean() for i in range(2))
    attention = model.losses['attention']
    torch.testing.assert_close(attention(scores[:2], scores[2:]), expected)
    # Masked scores are zero on both sides.
    scores[0][0, 0, 0, 0], scores[2][0, 0, 0, 0] = -1e4, -101
    scores[1] = scores[3]
    rest = (scores[0] - scores[2]).square()
    rest[0, 0, 0, 0] = 0
    torch.testing.assert_close(attention(scores[:2], scores[2:]), rest.mean())
    logits, targets = torch.randn(2, 12), torch.randn(2, 12)
    expected = F.cross_entropy(logits, targets.softmax(1)) / 12
    torch.testing.assert_close(
        model.losses['prediction']([logits], [targets]), expected
    )


def test_loss_of_maskalign_matches_equations():
    """Dynamic alignment of whitened targets at the kept tokens."""
    model = build(dict(align=ALIGN))
    loss = model.losses['align']
    torch.testing.assert_close(loss.mix.data, torch.eye(2) + 0.01)
    features = [torch.randn(2, 4, 24) for _ in range(2)]
    targets = [torch.randn(2, 17, 24) for _ in range(2)]
    index = torch.tensor([[0, 3, 5, 9], [0, 1, 2, 16]])
    expected = 0.0
    for i, target in enumerate(targets):
        kept = torch.stack([target[b, index[b]] for b in range(2)])
        kept = (kept - kept.mean(-1, keepdim=True)) / (
            kept.var(-1, keepdim=True, unbiased=False) + 1e-5
        ).sqrt()
        mixed = sum(loss.mix[i, j] * features[j] for j in range(2))
        expected += 2 * F.smooth_l1_loss(loss.fits[i](mixed), kept) / 2
    value = loss(Masked(features, index), Targets(targets, []))
    torch.testing.assert_close(value, expected)


def test_student_reads_the_attended_patches():
    model = build(dict(align=dict(ALIGN, keep=0.25)))
    loss = model.losses['align']
    scores = torch.full((2, 3, 17, 17), -50.0)
    scores[:, :, 0, [2, 5, 11, 16]] = 0.0
    tokens = loss.choose_tokens(Targets([torch.zeros(2, 17, 24)], [scores]))
    assert tokens.tolist() == [[0, 2, 5, 11, 16]] * 2
    # The teacher reads all tokens.
    sizes = []
    for part in (model.student, model.teacher):
        part.backbone.layers[1].register_forward_hook(
            lambda module, args, out: sizes.append(out.shape[1])
        )
    run(model.train())
    assert sizes == [17, 17, 5]


@pytest.mark.parametrize('kind', ['vit', 'swin', 'ours'])
def test_recorded_scores_are_those_of_the_attention(kind):
    """They give the attention's output, and do not change it."""
    x = torch.randn(2, 16, 24)
    if kind == 'ours':
        attn = SelfAttention(24, 3)
    elif kind == 'vit':
        attn = MODELS.build(vit()).backbone.layers[0].attn
    else:
        attn = MODELS.build(swin((1, 1, 1, 1))).backbone.stages[0].blocks[0].attn.w_msa
    attn.eval()
    expected = attn(x)
    model = torch.nn.ModuleDict(dict(block=attn))
    with recorded_scores(model, attention_names(model, ['block'])) as scores:
        assert torch.equal(attn(x), expected)
    heads = attn.num_heads
    v = attn.qkv(x).unflatten(2, (3, heads, -1))[:, :, 2].transpose(1, 2)
    out = attn.proj((scores[0].softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(out, expected)


def test_student_is_used_after_training():
    model = build(dict(align=ALIGN)).eval()
    data = model.data_preprocessor(host_samples('mmpretrain'), training=False)
    with torch.no_grad():
        ours = model(**data, mode='tensor')
        theirs = model.student(**data, mode='tensor')
    assert torch.equal(flatten_output(ours), flatten_output(theirs))


@pytest.mark.parametrize(
    'losses, kwargs, message',
    [
        (
            dict(x=dict(HIDDEN, features={'backbone.layers.0': 'backbone.layers.7'})),
            {},
            r"has 'backbone.layers.7', which the teacher ImageClassifier does not have",
        ),
        (
            dict(x=dict(HIDDEN, features={'layers.0': 'backbone.layers.0'})),
            {},
            r"has 'layers.0', which the student",
        ),
        (
            dict(
                x=dict(
                    HIDDEN,
                    features={
                        'backbone.layers.0': 'backbone.layers.3',
                        'backbone.layers.1': 'backbone.layers.1',
                    },
                )
            ),
            {},
            'changes the order of the layers',
        ),
        (
            dict(x=dict(HIDDEN, features=['blocks'])),
            {},
            "'blocks', which matches no whole name",
        ),
        (
            dict(x=HIDDEN),
            dict(student=vit(dict(VIT, num_layers=5))),
            'match 5 modules of the student and 4 of the teacher',
        ),
        (
            dict(x=ATTENTION),
            dict(student=vit(dict(VIT, num_heads=2))),
            'attn of the student has 2 heads and .* of the teacher 3',
        ),
        (
            dict(x=dict(ATTENTION, features=['backbone'])),
            {},
            'has 2 self-attentions with the layer qkv, expected one',
        ),
        (
            dict(x=ALIGN),
            dict(student=vit(out_type='featmap')),
            r'keep=0.5 needs a ViT whose output is not a map',
        ),
        (dict(x=dict(ALIGN, keep=0)), {}, 'keep=0 must be a number above 0'),
        (dict(x=dict(ALIGN, mode='best')), {}, "mode='best' is not one of"),
        (
            dict(x=PREDICTION),
            dict(student=vit(dict(VIT, feedforward_channels=96)), initial_blocks='vit'),
            r'initial_blocks: .* of the student is \(96, 24\), but .* is \(48, 24\)',
        ),
        (dict(x=PREDICTION), dict(base_weight=-1), 'base_weight=-1 must be'),
    ],
)
def test_refuses_bad_input(losses, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(losses, **kwargs)


def test_refuses_other_widths_and_missing_teacher():
    model = build(dict(x=dict(HIDDEN, in_channels=None)), student=vit(dict(VIT)))
    with pytest.raises(ValueError, match='teacher_ckpt is not set'):
        model.init_weights()
    narrow = vit(dict(VIT, embed_dims=12))
    model = build(dict(x=dict(HIDDEN, in_channels=None)), student=narrow)
    with pytest.raises(ValueError, match='set in_channels and out_channels'):
        run(model.train())
    model = build(dict(base=PREDICTION))
    with pytest.raises(ValueError, match="has a loss 'loss_base' as well"):
        run(model.train())
    model = build(dict(x=ALIGN), student=narrow)
    with pytest.raises(ValueError, match='mixes tokens of in_channels=24'):
        run(model.train())
