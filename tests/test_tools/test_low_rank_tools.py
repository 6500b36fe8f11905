"""compress.py, experiments.py and the figures of low-rank models."""

import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmvlfusion.apis.build import build_model
from mmvlfusion.models.low_rank import LowRankLinear

from ..helpers import ROOT, TINY_ARCH, VIT, classifier, foreground_fraction, load_tool

LITE = 'configs/pela/vit-lite-p4_1xb64-80e_cifar10-32px.py'


@pytest.fixture
def tiny(tiny_config, tmp_path):
    """A config of the demo's TNT on the tiny data, and its weights."""
    torch.manual_seed(0)
    path = tiny_config()
    model = build_model(Config.fromfile(path))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'dense.pth')
    return path, tmp_path / 'dense.pth'


def low_rank_names(config, checkpoint):
    model = build_model(Config.fromfile(config), str(checkpoint))
    return [n for n, m in model.named_modules() if isinstance(m, LowRankLinear)]


@pytest.mark.parametrize(
    'options',
    [
        ['--backbone-only', '--exclude', 'tnt'],
        ['--exclude', 'head', 'inner', '--rank-multiple', '2'],
        [
            *('--exclude', 'inner', '--calibration', '2', '--budget', 'params=0.5'),
            *('--cfg-options', 'train_dataloader.num_workers=0'),
            'train_dataloader.persistent_workers=True',
        ],
    ],
    ids=' '.join,
)
def test_compress_and_merge(options, tiny, run_tool, tmp_path):
    out = tmp_path / 'low'
    fresh = '--backbone-only' in options
    output = run_tool(
        'tools/compress.py',
        *tiny,
        '--out',
        out,
        '--shape',
        32,
        32,
        *options,
        fresh=fresh,
    )
    assert '| backbone.layers.0.outer.attn.qkv | 384 x 128 |' in output
    assert 'M parameters' in output
    # mmengine's progress bar writes to the output that it found at its import.
    assert not fresh or 'task/s' in output
    names = low_rank_names(out / 'config.py', out / 'model.pth')
    assert 'backbone.layers.0.outer.attn.qkv' in names
    cfg = Config.fromfile(out / 'config.py')
    assert cfg.load_from == str(out / 'model.pth')
    # Scripts and inferencers of the hosts read the backbone at this key.
    assert cfg.model.backbone.arch.embed_dims_outer == 128
    output = run_tool(
        'tools/test.py', out / 'config.py', out / 'model.pth', '--work-dir', tmp_path
    )
    assert 'accuracy/top1' in output
    merged_dir = tmp_path / 'dense'
    run_tool(
        'tools/compress.py',
        out / 'config.py',
        out / 'model.pth',
        '--merge',
        '--out',
        merged_dir,
        '--shape',
        32,
        32,
    )
    assert low_rank_names(merged_dir / 'config.py', merged_dir / 'model.pth') == []
    dense = Config.fromfile(merged_dir / 'config.py').model
    original = Config.fromfile(tiny[0]).model
    assert dense == original
    model = build_model(
        Config.fromfile(merged_dir / 'config.py'), str(merged_dir / 'model.pth')
    )
    low = build_model(cfg, str(out / 'model.pth'))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model.eval()(x, mode='tensor'), low.eval()(x, mode='tensor')
        )


def test_dry_run_writes_nothing_and_bad_options_fail(tiny, run_tool, tmp_path):
    output = run_tool(
        'tools/compress.py',
        *tiny,
        '--exclude',
        'tnt',
        '--dry-run',
        '--out',
        tmp_path / 'none',
    )
    assert '| error |' in output and not (tmp_path / 'none').exists()
    output = run_tool('tools/compress.py', *tiny, '--ratio', 1, status=1)
    assert 'ratio=1.0 saves no parameters' in output
    output = run_tool('tools/compress.py', *tiny, '--exclude', 'x', 'y', status=1)
    assert "'x', which matches no linear layer" in output


def write_model(folder, **backbone):
    """Write the config and the weights of a classifier."""
    cfg = Config(dict(default_scope='mmpretrain', model=classifier(24, **backbone)))
    cfg.dump(folder / 'model.py')
    weights = folder / 'weights.pth'
    torch.save(dict(state_dict=build_model(cfg).state_dict()), weights)
    return folder / 'model.py', weights


def test_compresses_model_that_runs_at_one_other_size(run_tool, tmp_path):
    """Only the count of operations needs a forward pass."""
    arch = {k: v for k, v in TINY_ARCH.items() if k != 'word_size'}
    paths = write_model(tmp_path, type='mmpretrain.TNT', arch=arch, img_size=64)
    out = tmp_path / 'low'
    output = run_tool('tools/compress.py', *paths, '--out', out)
    assert 'not run on a blank image of 224 x 224 pixels' in output
    assert 'set --shape' in output and 'G MACs' not in output
    assert 'parameters are in layers that stay dense' in output
    assert low_rank_names(out / 'config.py', out / 'model.pth')
    output = run_tool('tools/compress.py', *paths, '--dry-run', '--shape', 64, 64)
    assert 'G MACs' in output
    output = run_tool('tools/analysis_tools/get_flops.py', paths[0], status=1)
    assert 'set --shape' in output


def test_second_compression_and_merging_of_dense_model_fail(run_tool, tmp_path):
    paths = write_model(
        tmp_path, type='VisionTransformer', arch=VIT, img_size=64, patch_size=16
    )
    shape = ('--shape', 64, 64)
    output = run_tool('tools/compress.py', *paths, '--merge', *shape, status=1)
    assert 'ImageClassifier' in output and 'has no low-rank layer' in output
    low = ('--out', tmp_path / 'low', '--exclude', 'vit', *shape)
    run_tool('tools/compress.py', *paths, *low)
    again = (tmp_path / 'low/config.py', tmp_path / 'low/model.pth')
    output = run_tool('tools/compress.py', *again, *low, status=1)
    assert "type='mmvlfusion.LowRank', which is low-rank already" in output
    output = run_tool('tools/compress.py', *again, *low, '--backbone-only', status=1)
    assert 'it has low-rank layers already. Merge them first' in output


def test_inferencer_loads_compressed_model(run_tool, tmp_path):
    """Load a completely low-rank model with the inferencer of mmdet."""
    import numpy as np
    from mmdet.apis import DetInferencer

    cfg = Config.fromfile(
        ROOT / 'configs/tnt/detr_tnt-mini-p8_1xb8-1k_shapes8-128px.py'
    )
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='elsewhere.pth')
    path = tmp_path / 'dense.py'
    cfg.dump(path)
    weights = tmp_path / 'dense.pth'
    torch.save(
        dict(
            state_dict=build_model(cfg).state_dict(),
            meta=dict(dataset_meta=cfg.train_dataloader.dataset.metainfo),
        ),
        weights,
    )
    run_tool(
        'tools/compress.py',
        path,
        weights,
        '--out',
        tmp_path,
        '--exclude',
        'tnt',
        '--shape',
        128,
        128,
    )
    assert any(
        'decoder.layers' in name and 'in_proj' in name
        for name in low_rank_names(tmp_path / 'config.py', tmp_path / 'model.pth')
    )
    # The file with the initial weights is no longer needed.
    assert 'elsewhere' not in (tmp_path / 'config.py').read_text()
    inferencer = DetInferencer(
        str(tmp_path / 'config.py'),
        str(tmp_path / 'model.pth'),
        device='cpu',
        show_progress=False,
    )
    result = inferencer(np.zeros((128, 128, 3), dtype=np.uint8))
    assert len(result['predictions']) == 1


def test_merge_extracts_student_of_distiller(tiny, run_tool, tmp_path):
    """The checkpoint of a distiller becomes a checkpoint of its student."""
    path, weights = tiny
    cfg = Config.fromfile(path)
    student = cfg.model
    student.backbone.update(
        type='mmvlfusion.LowRank', module='mmvlfusion.TNT', exclude='tnt'
    )
    cfg.model = dict(
        type='mmvlfusion.PELADistiller',
        student=student,
        teacher_ckpt=str(weights),
        features='tnt',
    )
    cfg.dump(tmp_path / 'pela.py')
    model = build_model(cfg)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'pela.pth')
    run_tool(
        'tools/compress.py',
        tmp_path / 'pela.py',
        tmp_path / 'pela.pth',
        '--merge',
        '--out',
        tmp_path / 'out',
        '--shape',
        32,
        32,
    )
    assert low_rank_names(tmp_path / 'out/config.py', tmp_path / 'out/model.pth') == []


@pytest.fixture
def table(tmp_path):
    """A table with five rows."""
    content = dict(
        metric='accuracy/top1',
        rows=[
            dict(name='dense', config=LITE, train=True, required=True),
            dict(
                name='plain',
                checkpoint='dense',
                config=LITE.replace('pela/vit', 'pela/low-rank-r2_vit').replace(
                    '80e', '30e'
                ),
            ),
            dict(
                name='budget',
                config=LITE,
                source='dense',
                compress='--exclude vit --backbone-only --budget params=0.5',
            ),
            dict(
                name='later', config=LITE, train=True, options={'load_from': '{dense}'}
            ),
            dict(name='unrun', config=LITE, train=True),
        ],
    )
    path = tmp_path / 'experiments_tiny.yml'
    path.write_text(json.dumps(content))
    return path


def test_experiments_run_rows_and_write_table(
    table, real_data, tmp_path, monkeypatch, run_tool
):
    tool = load_tool('experiments.py')

    def execute(command, log):
        output = run_tool(*command)
        with open(log, 'a') as file:
            file.write(output)
        return 1.0

    monkeypatch.setattr(tool, 'execute', execute)
    monkeypatch.setattr(tool, 'glob', lambda pattern: [str(table)])
    monkeypatch.setenv('MMVLFUSION_DATA', str(real_data))
    run = tool.Table('tiny', str(tmp_path))
    short = {
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 2,
        'param_scheduler': '[]',
        'train_dataloader.dataset.indices': 64,
        'test_dataloader.dataset.indices': 64,
    }
    for row in run.rows.values():
        row['options'] = {**short, **row.get('options', {})}
    for name in ('plain', 'budget', 'later'):  # They also run the dense row.
        tool.run_row(run, name)
    results = {name: run.result(name) for name in run.rows}
    assert results['unrun'] == {}
    # Each row is tested with its own weights.
    for name, sources in (('plain', ['dense']), ('later', ['dense', 'later'])):
        log = (tmp_path / f'tiny/{name}/log.txt').read_text()
        assert re.findall('Load checkpoint from (.*)', log) == [
            run.checkpoint(source) for source in sources
        ]
    assert results['dense']['length'] == '1' and results['plain']['length'] == '0'
    assert results['plain']['parameters'] < results['dense']['parameters']
    assert results['budget']['parameters'] < results['dense']['parameters']
    assert results['dense']['commands'][0].startswith('python tools/train.py')
    text = tool.write_table(run)
    assert text.count('not run') == 1 and '| dense | 0.2' in text
    before = (tmp_path / 'tiny/dense/log.txt').read_text()
    tool.run_row(run, 'plain')  # Nothing is run again.
    assert (tmp_path / 'tiny/dense/log.txt').read_text() == before


def test_experiments_merge_configs(tmp_path):
    tool = load_tool('experiments.py')
    table = tool.Table('encoders', str(tmp_path))
    for encoder in ('vit', 'swin', 'ssd-e1', 'ssd-e2'):
        name = f'jar-{encoder}'
        (tmp_path / 'encoders' / name).mkdir(parents=True)
        cfg = Config.fromfile(tool.write_config(table, name))
        assert tool.training_length(cfg) == '4'
        assert cfg.model.fusion.type == 'mmvlfusion.JointAdaptiveFusion'
        backbone = MODELS.build(cfg.model.backbone)
        size = sum(p.numel() for p in backbone.parameters())
        assert size == pytest.approx(368912, rel=2e-3)  # The TNT's.
        assert backbone(torch.rand(1, 3, 64, 64))[-1].shape == (1, 96, 8, 8)


def test_experiment_tables_are_consistent(run_tool):
    output = run_tool('tools/experiments.py', 'none', status=1)
    assert "no table 'none': choose one of" in output and 'cifar10' in output
    tool = load_tool('experiments.py')
    for path in ROOT.glob('configs/*/experiments_*.yml'):
        table = tool.Table(path.stem.removeprefix('experiments_'), 'nowhere')
        for name, row in table.rows.items():
            assert (ROOT / row['config']).is_file()
            assert (ROOT / row.get('merge', row['config'])).is_file()
            assert set(
                re.findall(r'"{([^}:]+)}"', json.dumps(row.get('options')))
            ) <= set(table.rows), name
            assert set(table.sources(name)) <= set(table.rows)
    output = run_tool('tools/experiments.py', 'cifar10', '--rows', 'none', status=1)
    assert "no row ['none']: choose from" in output


def test_low_rank_figures_are_drawn(tiny, run_tool, tmp_path):
    path, weights = tiny
    run_tool(
        'tools/visualizations/low_rank.py',
        path,
        weights,
        '--exclude',
        'tnt',
        '--features',
        'tnt',
        '--num-images',
        4,
        '--out-dir',
        tmp_path,
        '--pela',
        path,
        weights,
    )
    for name in ('spectrum', 'similarity'):
        assert foreground_fraction(tmp_path / f'{name}.png') > 0.05


def test_compression_table(real_data, run_tool, tmp_path, monkeypatch):
    """Compare methods on few images; finished rows are skipped."""
    monkeypatch.setenv('MMVLFUSION_DATA', str(real_data))
    weights = tmp_path / 'dense.pth'
    torch.manual_seed(0)
    torch.save(build_model(Config.fromfile(ROOT / LITE)).state_dict(), weights)
    command = [
        *('tools/analysis_tools/compression_table.py', LITE, weights),
        *('--out', tmp_path / 'table', '--ratios', 2, '--rows', 'plain', 'whitened'),
        *('--calibration', 1, '--probe', 100, '--test', 100, '--cfg-options'),
        *('train_dataloader.num_workers=0', 'train_dataloader.batch_size=16'),
    ]
    output = run_tool(*command)
    rows = re.findall(r'^\| (\w+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) ', output, re.M)
    assert [row[0] for row in rows] == ['dense', 'plain', 'whitened']
    assert rows[0][1:3] == ('1', '0.0000') and rows[1][4] == rows[2][4] == '0.109'
    assert float(rows[2][2]) < float(rows[1][2])
    assert 'dense' in run_tool(*command)
