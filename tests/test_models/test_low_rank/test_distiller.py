"""The distiller on a classifier, a detector and a segmentor."""

import copy
import sys

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope

from mmvlfusion.apis.build import build_model
from mmvlfusion.models.low_rank import LowRankLinear, merge_

from ...helpers import HOST_MODELS, flatten_output, host_samples

FEATURES = {
    'DeiT': 'vit',
    'Swin': 'swin',
    'TNT': 'tnt',
    'VSSD': 'vssd',
    'VisionSSD': 'vision_ssd',
    'DETR': [r'encoder\.layers\.\d+', r'decoder\.layers\.\d+'],
    'Faster R-CNN': [r'backbone\.layer\d', 'neck'],
    'UPerNet': 'vit',
}


def student_of(name):
    """Make a student config. The backbone, or for mmdet the model, is low-rank."""
    host, make, _ = HOST_MODELS[name]
    init_default_scope(host)
    cfg = ConfigDict(make())
    part = cfg if host == 'mmdet' else cfg.backbone
    part.update(type='mmvlfusion.LowRank', module=part.type, ratio=1.5)
    return cfg


@pytest.fixture
def distiller(tmp_path):
    """A distiller with a teacher of random weights."""

    def make(name='DeiT', **kwargs):
        torch.manual_seed(0)
        student = student_of(name)
        teacher = MODELS.build(copy.deepcopy(student))
        merge_(teacher)
        for p in teacher.parameters():
            if p.dim() == 2:  # Features that depend on the weights.
                torch.nn.init.normal_(p, std=0.2)
        path = str(tmp_path / 'teacher.pth')
        torch.save(dict(state_dict=teacher.state_dict()), path)
        model = MODELS.build(
            dict(
                type='mmvlfusion.PELADistiller',
                student=student,
                teacher_ckpt=path,
                **{'features': FEATURES[name], **kwargs},
            )
        )
        model.init_weights()
        return model.train()

    return make


def run(model, name='DeiT'):
    data = model.data_preprocessor(host_samples(HOST_MODELS[name][0]), training=True)
    return model(**data, mode='loss')


@pytest.mark.parametrize('name', FEATURES)
def test_distils_models_of_each_host(name, distiller):
    model = distiller(name)
    losses = run(model, name)
    total, log = model.parse_losses(losses)
    assert {'loss_fd', 'loss_rwp'} < set(log)
    assert len(log) > 3  # The losses of the student by their names, and the sum.
    total.backward()
    assert all(
        p.grad is not None
        for m in model.modules()
        if isinstance(m, LowRankLinear)
        for p in (m.up, m.down)
    )
    assert all(p.grad is None for p in model.teacher.parameters())
    # Only the student is saved and predicts.
    assert all(key.startswith('student.') for key in model.state_dict())
    data = model.data_preprocessor(host_samples(HOST_MODELS[name][0]), training=False)
    student = copy.deepcopy(model.eval().student)
    with torch.no_grad():
        ours = model(**data, mode='tensor')
        theirs = student(**data, mode='tensor')
    torch.testing.assert_close(flatten_output(ours), flatten_output(theirs))


def test_teacher_is_frozen_and_not_registered(distiller):
    model = distiller()
    assert not model.teacher.training and model.training
    model.eval(), model.train()
    assert not model.teacher.training
    outputs = []
    model.teacher.register_forward_hook(
        lambda module, args, output: outputs.append(output)
    )
    run(model)
    assert len(outputs) == 1 and not outputs[0].requires_grad
    teacher = {id(p) for p in model.teacher.parameters()}
    assert not teacher & {id(p) for p in model.parameters()}
    assert copy.deepcopy(model).teacher is model.teacher
    model.to(torch.float64)
    assert next(model.teacher.parameters()).dtype == torch.float64


def test_losses_match_equations(distiller):
    """Compare with Eq. 4 to 6 of PELA and with the form of the released code."""
    model = distiller(radius=0.01)
    distance, perturbation = model.losses['fd'], model.losses['rwp']
    features = [torch.randn(2, 5, 24) for _ in range(3)]
    targets = [torch.randn(2, 5, 24) for _ in range(3)]
    pairs = list(zip(features, targets))
    torch.testing.assert_close(
        distance(features, targets),
        sum((x[i] - y[i]).norm() ** 2 for x, y in pairs for i in range(2))
        / 2
        / (2 * 3),
    )
    layers = [
        name
        for name, m in model.student.named_modules()
        if isinstance(m, LowRankLinear)
    ]
    excess = torch.stack(
        [
            (
                model.student.get_submodule(n).weight
                - model.teacher.get_submodule(n).weight
            )
            .abs()
            .max()
            - 0.01
            for n in layers
        ]
    )
    torch.testing.assert_close(perturbation(model.student, model.teacher), excess.sum())
    distance.form = perturbation.form = 'code'
    torch.testing.assert_close(
        distance(features, targets),
        sum((x - y).square().mean() for x, y in pairs) / 3,
    )
    torch.testing.assert_close(
        perturbation(model.student, model.teacher), excess.square().mean()
    )


def test_loss_weights_scale_terms(distiller):
    base = run(distiller())
    double = run(distiller(feature_weight=2.0, perturbation_weight=3.0))
    torch.testing.assert_close(double['loss_fd'], 2 * base['loss_fd'])
    torch.testing.assert_close(double['loss_rwp'], 3 * base['loss_rwp'])
    none = run(distiller(feature_weight=0.0, perturbation_weight=0.0))
    assert set(none) == set(base) - {'loss_fd', 'loss_rwp'}


def test_feature_loss_decreases(distiller):
    """Train only on the features of the teacher."""
    model = distiller(form='code', perturbation_weight=0.0)
    data = model.data_preprocessor(host_samples('mmpretrain'), training=True)
    data['inputs'] = data['inputs'] / 255
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(30):
        loss = model(**data, mode='loss')['loss_fd']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.3 * history[0]


def test_losses_stay_in_full_precision(distiller):
    model = distiller()
    full = run(model)
    with torch.autocast('cpu', torch.bfloat16):
        half = run(model)
    assert half['loss_fd'].dtype == half['loss_rwp'].dtype == torch.float32
    # Weights are always compared in full precision.
    assert half['loss_rwp'] == full['loss_rwp']
    half['loss_fd'].backward()


def test_rejects_bad_input(distiller, tmp_path):
    with pytest.raises(ValueError, match="form='sum' is not one of"):
        distiller(form='sum')
    with pytest.raises(ValueError, match="'blocks', which matches no whole name"):
        distiller(features=['blocks'])
    with pytest.raises(ValueError, match="features='vits' is not a preset"):
        distiller(features='vits')
    teacher = student_of('DeiT')
    teacher.backbone.arch = dict(teacher.backbone.arch, num_layers=3)
    with pytest.raises(ValueError, match='match 2 modules of the student and'):
        distiller(teacher=teacher)
    teacher.backbone.arch = dict(
        teacher.backbone.arch, num_layers=2, feedforward_channels=96
    )
    with pytest.raises(ValueError, match=r'\(96, 24\) in the teacher'):
        distiller(teacher=teacher)
    dense = student_of('DeiT')
    dense.backbone.type = dense.backbone.pop('module')
    dense.backbone.pop('ratio')
    with pytest.raises(ValueError, match='has no low-rank layer'):
        MODELS.build(
            dict(
                type='mmvlfusion.PELADistiller',
                student=dense,
                teacher_ckpt='none.pth',
                features='vit',
            )
        )
    model = distiller()
    other = MODELS.build(student_of('TNT'))
    torch.save(other.state_dict(), tmp_path / 'other.pth')
    model.teacher_ckpt = str(tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth does not fit the student'):
        model.init_weights()
    model.teacher_ckpt = None
    with pytest.raises(ValueError, match='teacher_ckpt is not set'):
        model.init_weights()


@pytest.fixture
def pela_config(tiny_config, tmp_path):
    """A config that distils the demo's TNT on the tiny data."""
    cfg = Config.fromfile(tiny_config())
    teacher = build_model(cfg)
    teacher.init_weights()
    path = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict=teacher.state_dict()), path)
    student = cfg.model
    student.backbone.update(
        type='mmvlfusion.LowRank', module='mmvlfusion.TNT', exclude='tnt'
    )
    cfg.model = dict(
        type='mmvlfusion.PELADistiller',
        student=student,
        teacher_ckpt=path,
        features='tnt',
        form='code',
    )
    cfg.dump(tmp_path / 'pela.py')
    return tmp_path / 'pela.py'


def test_training_and_test_scripts(pela_config, run_tool, tmp_path):
    """Accumulate gradients, log each term, resume and test."""
    work = tmp_path / 'work'
    options = [
        '--work-dir',
        work,
        '--cfg-options',
        'optim_wrapper.accumulative_counts=2',
    ]
    output = run_tool('tools/train.py', pela_config, *options)
    for term in ('loss', 'loss_base', 'loss_fd', 'loss_rwp'):
        assert f' {term}: ' in output
    output = run_tool(
        'tools/train.py', pela_config, '--resume', *options, 'train_cfg.max_epochs=3'
    )
    assert 'resumed epoch: 2' in output
    weights = torch.load(work / 'epoch_3.pth', weights_only=False)['state_dict']
    assert all(key.startswith('student.') for key in weights)
    assert any(key.endswith('attn.qkv.up') for key in weights)
    output = run_tool('tools/test.py', pela_config, work / 'epoch_3.pth')
    assert 'accuracy/top1' in output


def test_two_processes_train_in_mixed_precision(
    pela_config, run_tool, tmp_path, free_port
):
    output = run_tool(
        'tools/dist_train.sh',
        pela_config,
        2,
        '--work-dir',
        tmp_path / 'work',
        '--amp',
        env=dict(PORT=free_port, PYTHON=sys.executable),
        launcher=('bash',),
    )
    assert ' loss_fd: ' in output and 'Saving checkpoint at 2 epochs' in output


@pytest.mark.gpu
def test_teacher_stores_no_activations(distiller):
    model = distiller(perturbation_weight=0.0).cuda()
    data = model.data_preprocessor(host_samples('mmpretrain'), training=True)
    with torch.autocast('cuda', torch.float16):
        before = torch.cuda.memory_allocated()
        with torch.no_grad():
            model.teacher(data['inputs'], mode='tensor')
        assert torch.cuda.memory_allocated() == before
        losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
