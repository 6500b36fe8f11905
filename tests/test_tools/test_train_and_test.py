"""tools/train.py, tools/test.py and scripts of the hosts on tiny data."""

import importlib.util
import json
import pickle
import sys
from pathlib import Path

import pytest
import torch

from ..helpers import foreground_fraction

CONFIG = 'configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py'


def last(folder):
    return (folder / 'last_checkpoint').read_text().strip()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('trained')


@pytest.fixture
def trained(folder, tiny_config, run_tool):
    """A work directory with a config and its trained checkpoint."""
    if not (folder / 'last_checkpoint').is_file():
        config = tiny_config(
            {
                'train_cfg.val_interval': 1,
                'visualizer.vis_backends': [dict(type='TensorboardVisBackend')],
            }
        )
        run_tool('tools/train.py', config, '--work-dir', folder)
    return folder


def test_training_writes_logs(trained):
    log = next(trained.glob('*/*.log')).read_text()
    assert 'Epoch(train) [2][6/6]' in log and 'accuracy/top1' in log
    assert list(trained.rglob('events.out.tfevents*'))


def test_predictions_are_saved_and_drawn(trained, run_tool):
    run_tool(
        'tools/test.py',
        trained / 'tiny.py',
        last(trained),
        '--work-dir',
        trained / 'test',
        '--out',
        trained / 'pred.pkl',
        '--show-dir',
        trained / 'drawn',
    )
    predictions = pickle.loads((trained / 'pred.pkl').read_bytes())
    assert len(predictions) == 16
    assert len(list((trained / 'drawn').rglob('*.png'))) == 16
    sheet = trained / 'sheet.png'
    output = run_tool(
        'tools/visualizations/contact_sheet.py',
        trained / 'tiny.py',
        trained / 'pred.pkl',
        '--out',
        sheet,
    )
    assert str(sheet) in output and foreground_fraction(sheet) > 0.05


def scores(trained, run_tool, *options):
    """Test the trained model and return the scores of all images, (16, 8)."""
    out = trained / 'scores.pkl'
    run_tool(
        'tools/test.py',
        trained / 'tiny.py',
        last(trained),
        '--work-dir',
        trained / 'options',
        '--out',
        out,
        *options,
    )
    results = pickle.loads(out.read_bytes())
    return torch.stack([result['pred_score'] for result in results])


def test_tta_and_amp_change_scores(trained, run_tool):
    plain = scores(trained, run_tool)
    augmented = scores(trained, run_tool, '--tta')
    mixed = scores(trained, run_tool, '--amp')
    # Both change the scores, and mixed precision changes them little.
    assert (augmented - plain).abs().max() > 1e-3
    assert 0 < (mixed - plain).abs().max() < 0.05
    torch.testing.assert_close(augmented.sum(1), torch.ones(16))


def test_metrics_file_matches_predictions(trained, run_tool):
    out = trained / 'metrics.json'
    run_tool(
        'tools/test.py',
        trained / 'tiny.py',
        last(trained),
        '--work-dir',
        trained / 'metrics',
        '--out',
        out,
        '--out-item',
        'metrics',
    )
    predicted = scores(trained, run_tool).argmax(1)
    results = pickle.loads((trained / 'scores.pkl').read_bytes())
    labels = torch.cat([result['gt_label'] for result in results])
    expected = 100 * (predicted == labels).float().mean().item()
    assert json.loads(out.read_text())['accuracy/top1'] == pytest.approx(expected)


def test_amp_on_cpu(tiny_config, run_tool, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('the wrapper of the host runs on GPUs')
    output = run_tool(
        'tools/train.py',
        tiny_config(),
        '--work-dir',
        tmp_path,
        '--amp',
        '--no-validate',
        '--auto-scale-lr',
        '--no-pin-memory',
        '--no-persistent-workers',
    )
    assert 'mmvlfusion.CPUAmpOptimWrapper' in output
    assert 'Epoch(train) [2][6/6]' in output and 'loss: nan' not in output


@pytest.mark.gpu
def test_one_rank_trains_over_nccl(tiny_config, run_tool, tmp_path, free_port):
    output = run_tool(
        'tools/dist_train.sh',
        tiny_config(),
        1,
        '--work-dir',
        tmp_path,
        '--amp',
        launcher=['bash'],
        env=dict(PORT=free_port, PYTHON=sys.executable),
    )
    assert "'backend': 'nccl'" in output
    assert 'Epoch(train) [2][6/6]' in output and 'loss: nan' not in output


@pytest.mark.e2e
def test_deterministic_run_resumes_bit_for_bit(device, tiny_config, run_tool, tmp_path):
    if device == 'cpu' and torch.cuda.is_available():
        pytest.skip('scripts train on the GPU')
    config = tiny_config(
        {
            'randomness': dict(seed=0, deterministic=True),
            'default_hooks.resume': dict(type='mmvlfusion.ExactResumeHook'),
        }
    )
    options = ['--amp', '--no-validate']
    run_tool('tools/train.py', config, '--work-dir', tmp_path / 'once', *options)
    options += ['--resume', tmp_path / 'once/epoch_1.pth']
    run_tool('tools/train.py', config, '--work-dir', tmp_path / 'twice', *options)
    once, twice = (
        torch.load(last(tmp_path / name), weights_only=False)['state_dict']
        for name in ('once', 'twice')
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_two_processes_match_double_batch(tiny_config, run_tool, tmp_path, free_port):
    overrides = {
        'randomness.seed': 0,
        'param_scheduler': None,
        'optim_wrapper.optimizer': dict(
            _delete_=True, type='SGD', lr=0.05, weight_decay=0.0
        ),
        'train_dataloader.sampler.shuffle': False,
        'train_dataloader.dataset.pipeline': [
            dict(type='mmvlfusion.LoadImage'),
            dict(type='PackInputs'),
        ],
    }
    weights = []
    for name, batch_size in (('one', 8), ('two', 4)):
        config = tiny_config({**overrides, 'train_dataloader.batch_size': batch_size})
        work_dir = ['--work-dir', tmp_path / name]
        if name == 'one':
            run_tool('tools/train.py', config, *work_dir)
        else:
            run_tool(
                'tools/dist_train.sh',
                config,
                2,
                *work_dir,
                launcher=['bash'],
                env=dict(PORT=free_port, PYTHON=sys.executable),
            )
        checkpoint = torch.load(last(tmp_path / name), weights_only=False)
        assert checkpoint['meta']['iter'] == 12
        weights.append(checkpoint['state_dict'])
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet', 'mmseg'])
def test_host_train_scripts_run_config(host, shapes_root, run_tool, tmp_path):
    """The scripts of the hosts run a config of this package unchanged."""
    script = Path(importlib.util.find_spec(host).origin).parent
    options = ['train_cfg.max_epochs=2', 'train_dataloader.batch_size=8']
    for name in ('train', 'val', 'test'):
        options.append(
            f'{name}_dataloader.dataset.data_root={shapes_root}/classification'
        )
    output = run_tool(
        script / '.mim/tools/train.py',
        CONFIG,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *options,
        fresh=True,
    )
    assert 'Saving checkpoint at 2 epochs' in output


def test_host_inferencer_and_cam(trained, shapes_root, run_tool):
    import mmpretrain

    image = next((shapes_root / 'classification/val/star').iterdir())
    config = str(trained / 'tiny.py')
    inferencer = mmpretrain.ImageClassificationInferencer(
        config, pretrained=last(trained), device='cpu'
    )
    result = inferencer(str(image))[0]
    assert result['pred_class'] in inferencer.classes
    cam = trained / 'cam.jpg'
    run_tool(
        Path(mmpretrain.__file__).parent / '.mim/tools/visualization/vis_cam.py',
        image,
        config,
        last(trained),
        '--vit-like',
        '--num-extra-tokens',
        1,
        '--target-layers',
        'backbone.layers.2.outer.norm1',
        '--save-path',
        cam,
    )
    assert cam.is_file()


@pytest.mark.parametrize(
    'args, message',
    [
        (
            ['tools/train.py', 'configs/none.py'],
            "config file 'configs/none.py' does not exist",
        ),
        (['tools/test.py', CONFIG, 'none.pth'], "'none.pth' does not exist"),
        (['tools/train.py', CONFIG, '--launcher', 'slurm'], 'needs GPUs'),
    ],
)
def test_rejects_bad_arguments(args, message, run_tool):
    assert message in run_tool(*args, status=1)


@pytest.mark.parametrize(
    'case, message',
    [
        ('empty', 'Found 0 files'),
        ('classes', 'set model.head.num_classes=8'),
        ('broken', 'broken.png'),
    ],
)
def test_train_rejects_bad_data(case, message, tiny_config, run_tool, tmp_path):
    overrides = {}
    if case == 'classes':
        overrides['model.head.num_classes'] = 5
    else:
        for split in ('train', 'val'):
            (tmp_path / split / 'circle').mkdir(parents=True)
            if case == 'broken':
                (tmp_path / split / 'circle/broken.png').write_bytes(b'')
                overrides['model.head.num_classes'] = 1
        overrides.update(
            {
                f'{name}_dataloader.dataset.data_root': str(tmp_path)
                for name in ('train', 'val', 'test')
            }
        )
    output = run_tool(
        'tools/train.py',
        tiny_config(overrides),
        '--work-dir',
        tmp_path / 'out',
        status=1,
    )
    assert message in output


@pytest.mark.parametrize('hook', [None, dict(type='mmvlfusion.ExactResumeHook')])
@pytest.mark.parametrize('by_epoch', [True, False])
def test_rejects_fewer_samples_than_a_batch(
    tiny_config, tmp_path, run_tool, hook, by_epoch
):
    """The error comes before training, whatever the schedule and the hooks."""
    config = tiny_config(
        {
            'train_dataloader.batch_size': 64,
            'train_dataloader.drop_last': True,
            'default_hooks.exact_resume': hook,
            'param_scheduler': [dict(type='ConstantLR', by_epoch=by_epoch)],
        }
    )
    output = run_tool('tools/train.py', config, '--work-dir', tmp_path, status=1)
    assert 'no batch: 48 samples' in output and 'train_dataloader.batch_size' in output
    assert not list(tmp_path.glob('*.pth'))
