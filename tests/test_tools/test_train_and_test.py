"""tools/train.py and tools/test.py on tiny data, and the hosts' scripts."""
import importlib.util
import json
import pickle
from pathlib import Path

import pytest
import torch

CONFIG = 'configs/tnt/tnt-mini-p8_1xb32-12e_shapes-32px.py'
SHORT = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=1']


def last(folder):
    return (folder / 'last_checkpoint').read_text().strip()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('trained')


@pytest.fixture
def trained(folder, tiny_options, run_tool):
    """A work directory with a trained checkpoint."""
    if not (folder / 'last_checkpoint').is_file():
        run_tool(
            'tools/train.py', CONFIG, '--work-dir', folder, '--cfg-options',
            *tiny_options, *SHORT,
            "visualizer.vis_backends=[{'type':'TensorboardVisBackend'}]")
    return folder


def test_train_logs(trained):
    log = next(trained.glob('*/*.log')).read_text()
    assert 'Epoch(train) [2][6/6]' in log and 'accuracy/top1' in log
    assert list(trained.rglob('events.out.tfevents*'))


def test_predictions_metrics_and_sheet(trained, tiny_options, run_tool):
    base = ['tools/test.py', CONFIG, last(trained), '--work-dir', trained]
    options = ['--cfg-options', *tiny_options]
    run_tool(*base, '--out', trained / 'pred.pkl', '--show-dir',
             trained / 'painted', *options)
    predictions = pickle.loads((trained / 'pred.pkl').read_bytes())
    assert len(predictions) == 16
    assert len(list((trained / 'painted').rglob('*.png'))) == 16
    run_tool(*base, '--tta', '--amp', '--out', trained / 'metrics.json',
             '--out-item', 'metrics', *options)
    metrics = json.loads((trained / 'metrics.json').read_text())
    assert 0 <= metrics['accuracy/top1'] <= 100


def test_contact_sheet(trained, shapes_root, tiny_options, run_tool, tmp_path):
    out = trained / 'pred2.pkl'
    run_tool('tools/test.py', CONFIG, last(trained), '--work-dir', trained,
             '--out', out, '--cfg-options', *tiny_options)
    config = tmp_path / 'config.py'
    root = shapes_root / 'classification'
    config.write_text(
        f"_base_ = '{Path(CONFIG).resolve()}'\n"
        f"test_dataloader = dict(dataset=dict(data_root='{root}'))\n")
    sheet = tmp_path / 'sheet.png'
    output = run_tool('tools/visualizations/contact_sheet.py', config, out,
                      '--out', sheet)
    assert str(sheet) in output and sheet.stat().st_size > 10_000


def test_amp_on_a_cpu(tiny_options, run_tool, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('the host\'s wrapper runs on GPUs')
    output = run_tool(
        'tools/train.py', CONFIG, '--work-dir', tmp_path, '--amp',
        '--no-validate', '--auto-scale-lr', '--no-pin-memory',
        '--no-persistent-workers', '--cfg-options', *tiny_options,
        'train_cfg.max_epochs=1')
    assert 'mmvlfusion.CPUAmpOptimWrapper' in output
    assert 'Epoch(train) [1][6/6]' in output and 'nan' not in output


def test_two_processes_equal_a_double_batch(tiny_options, run_tool, tmp_path):
    options = [
        *tiny_options, 'train_cfg.max_epochs=1', 'randomness.seed=0',
        'model.backbone.drop_path_rate=0', 'param_scheduler=None',
        "optim_wrapper.optimizer={'_delete_':True,'type':'SGD','lr':0.05}",
        "train_dataloader.sampler.shuffle=False",
        "train_dataloader.dataset.pipeline=[{'type':'mmvlfusion.LoadImage'},"
        "{'type':'PackInputs'}]"
    ]
    weights = []
    for name, batch in (('one', 8), ('two', 4)):
        args = ['--work-dir', tmp_path / name, '--cfg-options', *options,
                f'train_dataloader.batch_size={batch}']  # yapf: disable
        if name == 'one':
            run_tool('tools/train.py', CONFIG, *args)
        else:
            run_tool('tools/dist_train.sh', CONFIG, 2, *args,
                     launcher=['bash'], env=dict(PORT='29511'))
        checkpoint = torch.load(last(tmp_path / name), weights_only=False)
        weights.append(checkpoint['state_dict'])
    for key, value in weights[0].items():
        torch.testing.assert_close(
            weights[1][key], value, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet', 'mmseg'])
def test_host_train_scripts(host, tiny_options, run_tool, tmp_path):
    """The hosts' own scripts run our config unchanged."""
    script = Path(importlib.util.find_spec(host).origin).parent
    options = [*tiny_options, 'train_cfg.max_epochs=1']
    output = run_tool(
        script / '.mim/tools/train.py', CONFIG, '--work-dir', tmp_path,
        '--cfg-options', *options)
    assert 'Epoch(train) [1][6/6]' in output


def test_inferencer_and_cam(trained, shapes_root, tiny_options, run_tool):
    from mmengine.config import Config, DictAction
    from mmpretrain import ImageClassificationInferencer
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({
        key: DictAction._parse_iterable(value)
        for key, value in (option.split('=', 1) for option in tiny_options)
    })
    image = next((shapes_root / 'classification/val/star').iterdir())
    config = trained / 'dumped.py'
    cfg.dump(config)
    inferencer = ImageClassificationInferencer(
        str(config), pretrained=last(trained), device='cpu')
    result = inferencer(str(image))[0]
    assert result['pred_class'] in inferencer.classes
    import mmpretrain
    cam = trained / 'cam.jpg'
    run_tool(
        Path(mmpretrain.__file__).parent / '.mim/tools/visualization/'
        'vis_cam.py', image, config, last(trained), '--vit-like',
        '--num-extra-tokens', 1, '--target-layers',
        'backbone.layers.2.outer.norm1', '--save-path', cam)
    assert cam.is_file()


@pytest.mark.parametrize('args, message', [
    (['tools/train.py', 'configs/none.py'], "no config file 'configs/none.py'"),
    (['tools/test.py', CONFIG, 'none.pth'], "no checkpoint 'none.pth'"),
    (['tools/train.py', CONFIG, '--launcher', 'slurm'], 'needs GPUs'),
])
def test_bad_calls(args, message, run_tool):
    assert message in run_tool(*args, status=1)


@pytest.mark.parametrize('case, message', [
    ('empty', 'Found 0 files'),
    ('classes', 'set model.head.num_classes=8'),
    ('broken', 'broken.png'),
])
def test_bad_data(case, message, tiny_options, run_tool, tmp_path):
    extra = ['train_cfg.max_epochs=1']
    if case == 'classes':
        extra.append('model.head.num_classes=5')
    else:
        for split in ('train', 'val'):
            (tmp_path / split / 'circle').mkdir(parents=True)
            if case == 'broken':
                broken = tmp_path / split / 'circle/broken.png'
                broken.write_bytes(b'')
                extra.append('model.head.num_classes=1')
        extra += [f'{name}_dataloader.dataset.data_root={tmp_path}'
                  for name in ('train', 'val', 'test')]  # yapf: disable
    output = run_tool('tools/train.py', CONFIG, '--work-dir', tmp_path / 'out',
                      '--cfg-options', *tiny_options, *extra, status=1)
    assert message in output
