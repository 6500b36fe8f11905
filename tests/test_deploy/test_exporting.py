"""Exported models compute what PyTorch computes, or nothing is written."""

import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvlfusion.deploy import export_model, exporting, load_export
from mmvlfusion.deploy.verification import make_cases
from mmvlfusion.hosts import HOSTS, Host

from ..helpers import HOST_MODELS, ROOT, make_samples, skip_on_torch_2_1

pytestmark = skip_on_torch_2_1('has no torch.export with dynamic axes')
SIDE = 64


class TinyHost(Host):
    """A host whose models are called with images."""

    name = 'tiny'

    def can_export(self, model):
        return True

    def image_logits(self, model, images):
        return model(images)


class Branch(nn.Module):
    """A module whose result depends on a comparison of values."""

    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


def build(name):
    """Build a model of a host with random weights."""
    host, config, _ = HOST_MODELS[name]
    torch.manual_seed(0)
    init_default_scope(host)
    model = MODELS.build(Config(config()))
    model.init_weights()
    return model.eval(), HOSTS[host]


def export(model, host, out, **kwargs):
    return export_model(model, host, str(out), (SIDE, SIDE), **kwargs)


@pytest.mark.parametrize('name', ['TNT'])
@pytest.mark.parametrize('format', ['onnx', 'torch', 'openvino'])
def test_graphs_of_any_size_match_eager(name, format, tmp_path):
    for library in dict(onnx=['onnxruntime'], openvino=['openvino']).get(format, []):
        pytest.importorskip(library)
    pytest.importorskip('onnxscript')
    model, host = build(name)
    (report,) = export(model, host, tmp_path / 'out', format=format, dynamic='size')
    assert report.difference < 1e-4
    assert len(report.cases) >= 3
    run = load_export(str(tmp_path / 'out'))['model']
    images = torch.randn(2, 3, SIDE, SIDE + 16)
    with torch.no_grad():
        torch.testing.assert_close(
            run(images)[0], host.image_logits(model, images), atol=1e-4, rtol=1e-3
        )


def build_fcn():
    """Build the small FCN on TNT with random weights."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = ROOT / 'configs/tnt/fcn_tnt-micro-p8_1xb32-4k_shapes-64px.py'
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    return model.eval()


@pytest.mark.e2e
@pytest.mark.parametrize(
    'name, dynamic',
    [
        ('FCN', 'size'),
        ('UPerNet', 'none'),
    ],
)
def test_segmentors_match_eager(name, dynamic, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    model = build_fcn() if name == 'FCN' else build(name)[0]
    host = HOSTS['mmseg']
    (report,) = export(model, host, tmp_path, dynamic=dynamic)
    assert report.difference < 1e-4
    images = torch.randn(1, 3, SIDE, SIDE + (16 if dynamic == 'size' else 0))
    (logits,) = load_export(str(tmp_path))['model'](images)
    assert logits.shape[2:] == images.shape[2:]
    with torch.no_grad():
        expected = host.image_logits(model, images)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('format', ['onnx', 'openvino'])
def test_int8_graphs_nearly_match_eager(format, tmp_path):
    pytest.importorskip('nncf' if format == 'openvino' else 'onnxruntime')
    model, host = build('TNT')
    batches = [make_samples('mmpretrain', SIDE, 12) for _ in range(2)]
    (report,) = export(
        model, host, tmp_path / 'int8', format=format, int8=True, calibration=batches
    )
    assert 1e-4 < report.difference < 0.5
    assert {path.stem for path in (tmp_path / 'int8').iterdir()} == {
        'model_int8',
        'export',
    }


def test_nothing_is_written_if_outputs_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(
        exporting.Graph, 'run', lambda self, *x: (self.module(*x).detach() + 1,)
    )
    with pytest.raises(ValueError, match=r"output 'logits' .* nothing was written"):
        export(nn.Flatten(), TinyHost(), tmp_path / 'out', format='torch')
    assert list(tmp_path.iterdir()) == []


def test_untraceable_module_is_named(tmp_path):
    model = nn.Sequential(nn.Flatten(), Branch())
    with pytest.raises(
        ValueError, match=r"'model' cannot be traced, because of model\.1 \(Branch\)"
    ):
        export(model, TinyHost(), tmp_path / 'out', format='torch')
    assert list(tmp_path.iterdir()) == []


class OwnSize(nn.Module):
    """A module that computes another result for images of its own size."""

    def forward(self, x):
        return x.flatten(1) if x.shape[2] == SIDE else x.flatten(1) + 1


def test_size_with_another_path_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'model' does not run.*--dynamic batch"):
        export(OwnSize(), TinyHost(), tmp_path / 'out', format='torch', dynamic='size')
    assert list(tmp_path.iterdir()) == []


def test_graphs_of_any_size_are_not_traced_for_the_size_of_the_model():
    first, *others = make_cases('size', 1, (SIDE, SIDE), 12)
    assert SIDE not in first.shape and first.batch > 1
    assert (SIDE, SIDE) in [case.shape for case in others]


def test_graph_of_fixed_size_keeps_its_batch(tmp_path):
    (report,) = export(nn.Flatten(), TinyHost(), tmp_path, format='torch', batch_size=3)
    assert report.cases == (f'batch 3, {SIDE} x {SIDE} px',)
    images = torch.randn(3, 3, SIDE, SIDE)
    (flat,) = load_export(str(tmp_path))['model'](images)
    assert torch.equal(flat, images.flatten(1))


def test_bad_arguments_are_refused_before_tracing(tmp_path, monkeypatch):
    model, host = nn.Flatten(), TinyHost()
    monkeypatch.setitem(sys.modules, 'openvino', None)
    cases = [
        (dict(format='tflite'), ValueError, "format='tflite' is not one of"),
        (dict(dynamic='all', format='torch'), ValueError, "dynamic='all' is not"),
        (dict(format='torch', int8=True), ValueError, 'choose one of .*onnx'),
        (dict(format='openvino'), ImportError, r'extra export.*mmvlfusion\[export\]'),
        (dict(format='torch', batch_size=0), ValueError, 'batch_size=0 must be'),
        (dict(format='torch', tolerance=0), ValueError, 'tolerance=0 must be'),
    ]
    for kwargs, error, message in cases:
        with pytest.raises(error, match=message):
            export(model, host, tmp_path / 'out', **kwargs)
    pytest.importorskip('onnxruntime')
    with pytest.raises(ValueError, match='int8 needs calibration data'):
        export(model, host, tmp_path / 'out', int8=True, calibration=[])
    assert list(tmp_path.iterdir()) == []


def test_unsupported_models_are_named(tmp_path):
    other = nn.Identity()
    with pytest.raises(ValueError, match='Identity of mmdet cannot be .* own tool'):
        export_model(other, HOSTS['mmdet'], str(tmp_path), (SIDE, SIDE), 'torch')


def test_folder_without_export_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='has no export.json'):
        load_export(str(tmp_path))
