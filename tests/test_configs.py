"""Every config parses alone, is listed, builds, and takes a training step."""
from pathlib import Path

import mmengine
import mmpretrain.models  # noqa: F401
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from .conftest import ROOT, TINY_ARCH

CONFIGS = sorted(
    path for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts)
NAMES = [path.stem for path in CONFIGS]


def test_all_parse_in_a_fresh_interpreter(run_tool):
    """Without our package imported first, as a host's script does it."""
    output = run_tool(
        '-c', 'import sys\nfrom mmengine.config import Config\n'
        'for path in sys.argv[1:]: print(Config.fromfile(path).default_scope)',
        *CONFIGS)
    assert output.count('mmpretrain') == len(CONFIGS)


def test_names_are_unique():
    names = [path.name for path in (ROOT / 'configs').rglob('*.py')]
    assert len(set(names)) == len(names)


def test_metafiles_list_exactly_the_configs():
    index = mmengine.load(ROOT / 'model-index.yml')
    listed, collections = [], []
    for metafile in index['Import']:
        content = mmengine.load(ROOT / metafile)
        collections += [entry['Name'] for entry in content['Collections']]
        for entry in content['Models']:
            assert entry['Name'] == Path(entry['Config']).stem
            assert entry['In Collection'] in collections
            listed.append(ROOT / entry['Config'])
    assert sorted(listed) == CONFIGS


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_training_step(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = cfg.model
    if model.backbone.type == 'mmvlfusion.TNT':
        depth = 12 if 'mini' not in path.stem else 4
        word_size = model.backbone.patch_size // 4
        model.backbone.arch = dict(
            TINY_ARCH, num_layers=depth, word_size=word_size)
    else:
        model.backbone.arch = dict(
            embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
    model.backbone.init_cfg = None
    model.head.in_channels = 24
    model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(model)
    side = cfg.model.backbone.img_size
    data = model.data_preprocessor(
        dict(
            inputs=[torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
                    for _ in range(2)],
            data_samples=[DataSample().set_gt_label(i) for i in range(2)]),
        training=True)  # yapf: disable
    loss = model(**data, mode='loss')['loss']
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.parameters())
    # The head fits the classes that the data are normalised for.
    assert model.head.num_classes == cfg.data_preprocessor.num_classes


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_first_comment_and_scaling(path):
    text = path.read_text()
    assert text.startswith('# ')
    assert 'base_batch_size' in Config.fromfile(path).auto_scale_lr


def test_missing_initial_weights_stop_with_directions(run_tool, tmp_path):
    config = 'configs/tnt/tnt-small-p16_8xb64-100e_cifar10-384px.py'
    output = run_tool(
        '-c', 'import sys\nfrom mmengine.config import Config\n'
        'from mmvlfusion.engine import InitialWeightsHook\n'
        'from types import SimpleNamespace as S\n'
        'cfg = Config.fromfile(sys.argv[1])\n'
        'hook = InitialWeightsHook(cfg.default_hooks.initial_weights.hint)\n'
        'if len(sys.argv) > 2: cfg.model.backbone.init_cfg = None\n'
        'hook.before_run(S(cfg=cfg, _resume=False, _load_from=None))\n',
        config, env=dict(MMVLFUSION_CHECKPOINTS=str(tmp_path)), status=1)
    assert f'{tmp_path}/tnt-small-p16_in1k.pth are missing' in output
    assert 'configs/tnt/README.md' in output
    assert 'model.backbone.init_cfg=None' in output
