"""Types of the package resolve from each host, also if only one is installed."""

import re

import pytest

from .helpers import TINY_ARCH

BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == x or name.startswith(x + ".") for x in {blocked!r}):
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Block())
"""
HOSTS = ('mmpretrain', 'mmdet', 'mmseg')


@pytest.mark.parametrize('host', HOSTS)
def test_types_build_with_only_one_host_installed(host, run_tool):
    """Build models without custom_imports while the other hosts are blocked."""
    script = BLOCK.format(blocked=[name for name in HOSTS if name != host])
    script += f"""
import torch, warnings
from {host}.registry import MODELS
model = MODELS.build(dict(type="mmvlfusion.TNT", arch={TINY_ARCH!r},
                          img_size=32, patch_size=8, out_type="featmap"))
neck = MODELS.build(dict(type="mmvlfusion.PlainFeaturePyramid", in_channels=24,
                         scales=[0.5]))
print(tuple(neck(model(torch.zeros(1, 3, 32, 32)))[0].shape))
low = MODELS.build(dict(type="mmvlfusion.LowRank", module="mmvlfusion.TNT",
                        exclude="tnt", arch={TINY_ARCH!r}, img_size=32))
print(low.layers[0].outer.attn.qkv)
print(MODELS.get("mmvlfusion.PELADistiller"))
print(MODELS.get("mmvlfusion.Trans2SegHead"))
"""
    output = run_tool('-c', script)
    assert '(1, 24, 2, 2)' in output
    assert 'LowRankLinear(in_features=24' in output
    assert 'PELADistiller' in output
    # The decode head needs mmseg.
    assert ('Trans2SegHead' in output) == (host == 'mmseg')


def test_missing_extra_is_named(run_tool):
    """With only torch, mmengine and mmcv-lite, the backbones, low rank and the fusions
    work, and other models say what to install."""
    script = BLOCK.format(
        blocked=[
            *HOSTS,
            *('mmcv.ops', 'mmcv._ext'),
            *('transformers', 'tokenizers', 'torchvision', 'timm', 'webdataset'),
            *('pycocotools', 'pycocoevalcap', 'sklearn', 'scipy', 'pandas'),
        ]
    )
    script += f"""
from mmengine.registry import METRICS, MODELS, TRANSFORMS
import torch
import mmvlfusion.apis.cli
import mmvlfusion.datasets
import mmvlfusion.engine
import mmvlfusion.evaluation
tnt = dict(arch={TINY_ARCH!r}, img_size=32)
for cfg in (dict(type="mmvlfusion.TNT", **tnt),
            dict(type="mmvlfusion.LowRank", module="mmvlfusion.TNT", **tnt),
            dict(type="mmvlfusion.VSSD", arch="micro"),
            dict(type="mmvlfusion.VisionSSD", arch="tiny")):
    model = MODELS.build(cfg)
    model.eval().init_weights()
    print(type(model).__name__, tuple(model(torch.zeros(1, 3, 32, 32))[0].shape))
print(MODELS.build(dict(type="mmvlfusion.ConcatFusion", embed_dims=12,
                        num_heads=2, num_layers=1)).num_layers)
for registry, cfg in (
        (MODELS, dict(type="mmvlfusion.TextEncoder", tokenizer=None,
                      config=dict(model_type="bert"))),
        (MODELS, dict(type="mmvlfusion.VisualQuestionAnswering", fusion={{}},
                      tokenizer="words", text_encoder={{}}, head={{}})),
        (TRANSFORMS, dict(type="mmvlfusion.PackQuestions")),
        (MODELS, dict(type="mmvlfusion.PELAVisionTransformer"))):
    try:
        registry.build(cfg)
    except ImportError as error:
        print(error)
"""
    lines = run_tool('-c', script).strip().split('\n')
    models = ['TNT (1, 24)', 'TNT (1, 24)', 'VSSD (1, 384)', 'VisionSSD (1, 192)']
    assert [line for line in lines if re.match(r'\w+ \(1, \d+\)$', line)] == models
    assert lines[-5] == '1'
    for line in lines[-4:-2]:
        assert 'transformers is needed here and is not installed' in line
        assert "pip install 'mmvlfusion[multimodal]'" in line
    for line in lines[-2:]:
        assert 'mmpretrain is needed here' in line
        assert 'hosts' not in line


def test_scopes_separate_equal_type_names():
    from mmpretrain.registry import MODELS

    from mmvlfusion.models import TNT

    assert MODELS.get('mmvlfusion.TNT') is TNT
    assert MODELS.get('mmpretrain.TNT') is not TNT


def test_register_all_modules_sets_default_scope(run_tool):
    output = run_tool(
        '-c',
        'from mmvlfusion.utils import register_all_modules\n'
        'from mmengine.registry import DefaultScope\n'
        'register_all_modules(init_default_scope=True)\n'
        'print(DefaultScope.get_current_instance().scope_name)',
    )
    assert output.strip().endswith('mmvlfusion')


@pytest.mark.parametrize('module', ['mmcv', 'mmengine'])
def test_rejects_unsupported_version(module, run_tool):
    output = run_tool(
        '-c',
        f'import {module}; {module}.__version__ = "0.1.0"\nimport mmvlfusion',
        status=1,
    )
    assert f'works with {module} >=' in output
    assert '0.1.0 is installed' in output


@pytest.mark.parametrize(
    'name',
    [
        'detr_tnt-mini-p8_1xb8-1k_shapes8-128px',
        'trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px',
    ],
)
def test_get_model_resolves_types_of_other_hosts(name):
    """Types of the host resolve in the scope of mmvlfusion."""
    import mmengine.hub

    import mmvlfusion  # noqa: F401

    model = mmengine.hub.get_model(f'mmvlfusion::tnt/{name}.py')
    assert type(model.backbone).__module__.startswith('mmvlfusion')


def test_get_config_and_get_model():
    import mmengine.hub

    import mmvlfusion  # noqa: F401

    cfg = mmengine.hub.get_config(
        'mmvlfusion::tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py'
    )
    assert cfg.model.backbone.type == 'mmvlfusion.TNT'
    model = mmengine.hub.get_model(
        'mmvlfusion::tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py'
    )
    assert type(model.backbone).__module__.startswith('mmvlfusion')


def test_user_config_inherits_by_name(tmp_path):
    from mmengine.config import Config

    import mmvlfusion  # noqa: F401

    config = tmp_path / 'mine.py'
    config.write_text(
        "_base_ = 'mmvlfusion::tnt/tnt-small-p16_8xb128-300e_in1k.py'"
        "\nmodel = dict(backbone=dict(variant='legacy'))\n"
    )
    backbone = Config.fromfile(config).model.backbone
    assert (backbone.arch, backbone.variant) == ('small', 'legacy')


def test_user_config_inherits_by_path_in_host_script(tmp_path, run_tool):
    """mmengine evaluates ``_base_`` before mmvlfusion is imported."""
    config = tmp_path / 'mine.py'
    config.write_text(
        "_base_ = __import__('mmvlfusion').config_path("
        "'tnt/tnt-small-p16_8xb128-300e_in1k.py')\n"
        "model = dict(backbone=dict(variant='legacy'))\n"
    )
    output = run_tool(
        '-c',
        'import sys\nfrom mmengine.config import Config\n'
        'backbone = Config.fromfile(sys.argv[1]).model.backbone\n'
        'print(backbone.arch, backbone.variant)',
        config,
    )
    assert output.strip().endswith('small legacy')


def test_config_path_names_similar_config():
    from mmvlfusion import config_path

    with pytest.raises(FileNotFoundError, match='tnt-small-p16_8xb128-300e_in1k.py'):
        config_path('tnt/tnt-small-p16_8xb128-300e_in1.py')


def test_inferencers_find_models_by_name():
    """In the scope of mmvlfusion; no weights are released."""
    import numpy as np
    from mmdet.apis import DetInferencer
    from mmseg.apis import MMSegInferencer

    image = np.zeros((128, 128, 3), dtype=np.uint8)
    for inferencer, name in (
        (DetInferencer, 'detr_tnt-mini-p8_1xb8-1k_shapes8-128px'),
        (MMSegInferencer, 'trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px'),
    ):
        with pytest.warns(UserWarning, match='Checkpoint is not loaded'):
            built = inferencer(name, scope='mmvlfusion', device='cpu')
        assert len(built(image)['predictions'])
        assert name in inferencer.list_models('mmvlfusion')


def test_mmpretrain_lists_and_builds_models_by_name():
    from mmpretrain import get_model, list_models

    from mmvlfusion.hosts import HOSTS

    for _ in range(2):
        HOSTS['mmpretrain'].register_models()
    name = 'tnt-mini-p8_1xb32-10e_shapes-32px'
    assert name in list_models('tnt-mini', task='Image Classification')
    with pytest.warns(UserWarning, match='Unable to find pre-defined checkpoint'):
        model = get_model(name, pretrained=True)
    assert type(model.backbone).__module__.startswith('mmvlfusion')
