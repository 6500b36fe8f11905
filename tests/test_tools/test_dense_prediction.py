"""Detection and segmentation with scripts and inferencers."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from ..helpers import ROOT, foreground_fraction

DETR = 'configs/tnt/detr_tnt-mini-p8_1xb8-1k_shapes8-128px.py'
FASTER_RCNN = 'configs/tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px.py'
TRANS2SEG = 'configs/tnt/trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py'


def host_script(host, name):
    return Path(importlib.util.find_spec(host).origin).parent / '.mim' / name


def last(folder):
    return (folder / 'last_checkpoint').read_text().strip()


def logged(folder, key):
    """The values of a key in the log of a run, in order."""
    path = next(folder.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in path.read_text().split('\n') if line]
    return [line[key] for line in lines if key in line]


def on_coco(root):
    """Return options for the sample of COCO: small images and two short epochs."""
    options = [
        'train_cfg.max_epochs=2',
        'train_cfg.val_interval=2',
        'val_evaluator.ann_file=' + f'{root}/annotations/instances_val2017.json',
        'test_evaluator.ann_file=' + f'{root}/annotations/instances_val2017.json',
        'train_dataloader.dataset.indices=4',
    ]
    for name in ('train', 'val', 'test'):
        options += [
            f'{name}_dataloader.dataset.data_root={root}/',
            f'{name}_dataloader.num_workers=0',
            f'{name}_dataloader.persistent_workers=False',
        ]
        if name != 'train':
            options += [
                f'{name}_dataloader.dataset.pipeline.1.scale=(160,96)',
                f'{name}_dataloader.dataset.indices=4',
            ]
    return options


def on_ade(root):
    """Return options for the sample of ADE20K: small images, four iterations."""
    options = [
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=4',
        'default_hooks.checkpoint.interval=4',
        'default_hooks.logger.interval=1',
        'train_dataloader.dataset.indices=4',
        'train_dataloader.batch_size=2',
        'train_dataloader.dataset.pipeline.2.scale=(256,96)',
        'train_dataloader.dataset.pipeline.3.crop_size=(96,96)',
        'model.data_preprocessor.size=(96,96)',
    ]
    for name in ('train', 'val', 'test'):
        options += [
            f'{name}_dataloader.dataset.data_root={root}',
            f'{name}_dataloader.num_workers=0',
            f'{name}_dataloader.persistent_workers=False',
        ]
        if name != 'train':
            options += [
                f'{name}_dataloader.dataset.pipeline.1.scale=(256,96)',
                f'{name}_dataloader.dataset.indices=8',
            ]
    return options


@pytest.mark.parametrize(
    'name, size',
    [
        ('detr_tnt-small-p16_8xb2-50e_coco', '3.scales=[(160,96),(160,128)]'),
        ('mask-rcnn_tnt-small-p16_fpn_8xb2-12e_coco', '2.scale=(160,96)'),
    ],
)
def test_mmdet_scripts_train_and_test_on_coco(
    name, size, real_data, run_tool, tmp_path
):
    options = [
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *on_coco(real_data / 'coco'),
        f'train_dataloader.dataset.pipeline.{size}',
        'default_hooks.logger.interval=1',
    ]
    if 'rcnn' in name:  # Random weights find a thousand boxes in each image.
        options += [
            'model.train_cfg.rpn_proposal.max_per_img=50',
            'model.test_cfg.rpn.max_per_img=50',
            'model.test_cfg.rcnn.max_per_img=10',
        ]
    config = f'configs/tnt/{name}.py'
    output = run_tool(
        host_script('mmdet', 'tools/train.py'),
        config,
        *options,
        'model.backbone.init_cfg=None',
    )
    assert 'Epoch(train) [2][2/2]' in output
    output = run_tool(
        host_script('mmdet', 'tools/test.py'), config, last(tmp_path), *options
    )
    assert 'coco/bbox_mAP' in output


@pytest.mark.parametrize(
    'name',
    ['trans2seg_tnt-small-p16_4xb4-40k_ade20k-512px'],
)
def test_mmseg_scripts_train_and_test_on_ade(name, real_data, run_tool, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', *on_ade(real_data / 'ade')]
    config = f'configs/tnt/{name}.py'
    output = run_tool(
        host_script('mmseg', 'tools/train.py'),
        config,
        *options,
        'model.backbone.init_cfg=None',
    )
    assert 'Iter(train) [4/4]' in output
    output = run_tool(
        host_script('mmseg', 'tools/test.py'), config, last(tmp_path), *options
    )
    assert 'mIoU' in output


@pytest.fixture
def mini(shapes_root, tmp_path):
    """Write a mini config for the tiny data, with overrides, and return its path."""

    def write(config, overrides=None):
        cfg = Config.fromfile(ROOT / config)
        folder = 'coco' if cfg.default_scope == 'mmdet' else 'ade'
        options = {
            f'{name}_dataloader.dataset.data_root': str(shapes_root / folder)
            for name in ('train', 'val', 'test')
        }
        options['train_dataloader.batch_size'] = 2
        options['val_dataloader.dataset.indices'] = 4
        options['test_dataloader.dataset.indices'] = 4
        options['default_hooks.logger.interval'] = 1
        options['randomness.seed'] = 0
        options['param_scheduler'] = [
            dict(type='ConstantLR', factor=0.5, by_epoch=False, end=4)
        ]
        if cfg.default_scope == 'mmdet' and cfg.val_evaluator.ann_file:
            for name in ('val', 'test'):
                options[f'{name}_evaluator.ann_file'] = str(
                    shapes_root / 'coco/annotations/instances_val2017.json'
                )
        if cfg.train_cfg.type == 'IterBasedTrainLoop':
            options.update(
                {
                    'train_cfg.max_iters': 4,
                    'train_cfg.val_interval': 4,
                    'default_hooks.checkpoint.interval': 2,
                }
            )
        cfg.merge_from_dict({**options, **(overrides or {})})
        path = tmp_path / Path(config).name
        cfg.dump(path)
        return path

    return write


@pytest.mark.parametrize('config', [DETR, TRANS2SEG])
def test_amp_on_cpu(config, mini, run_tool, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('the wrapper of the host runs on GPUs')
    output = run_tool(
        'tools/train.py', mini(config), '--work-dir', tmp_path / 'out', '--amp'
    )
    assert 'mmvlfusion.CPUAmpOptimWrapper' in output
    losses = logged(tmp_path / 'out', 'loss')
    assert len(losses) == 4 and np.isfinite(losses).all()


@pytest.mark.gpu
@pytest.mark.parametrize('config', [DETR, FASTER_RCNN, TRANS2SEG])
def test_amp_on_gpu(config, mini, run_tool, tmp_path):
    """Regions of interest are pooled in float16, as mmcv has no bfloat16."""
    output = run_tool(
        'tools/train.py', mini(config), '--work-dir', tmp_path / 'out', '--amp'
    )
    has_bfloat16 = torch.cuda.get_device_capability()[0] >= 8
    is_half = config == FASTER_RCNN or not has_bfloat16
    assert f'--amp trains in {"float16" if is_half else "bfloat16"}' in output
    assert np.isfinite(logged(tmp_path / 'out', 'loss')).all()


@pytest.mark.gpu
@pytest.mark.parametrize('config', [DETR, FASTER_RCNN, TRANS2SEG])
def test_amp_with_host_scripts(config, mini, run_tool, tmp_path):
    host = Config.fromfile(ROOT / config).default_scope
    run_tool(
        host_script(host, 'tools/train.py'),
        mini(config),
        '--work-dir',
        tmp_path / 'out',
        '--amp',
    )
    assert np.isfinite(logged(tmp_path / 'out', 'loss')).all()


@pytest.mark.parametrize('config', [DETR, FASTER_RCNN, TRANS2SEG])
def test_loss_decreases(config, mini, run_tool, tmp_path):
    overrides = {
        'train_dataloader.batch_size': 4,
        'train_dataloader.dataset.indices': 4,
        'train_cfg.val_interval': 100,
    }
    if config == FASTER_RCNN:
        overrides['train_cfg.max_epochs'] = 20
    else:
        overrides['train_cfg.max_iters'] = 20
    run_tool(
        'tools/train.py',
        mini(config, overrides),
        '--work-dir',
        tmp_path / 'out',
        '--no-validate',
    )
    losses = logged(tmp_path / 'out', 'loss')
    assert len(losses) == 20
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


@pytest.mark.parametrize('config', [TRANS2SEG])
def test_resumed_run_matches_uninterrupted_run(config, mini, run_tool, tmp_path):
    """Half a run and its resumption give the weights of one run."""
    # The default loader of mmdet groups images by their aspect ratio.
    overrides = (
        {'train_dataloader.batch_sampler': dict(type='AspectRatioBatchSampler')}
        if config == FASTER_RCNN
        else {}
    )
    config = mini(config, overrides)
    run_tool('tools/train.py', config, '--work-dir', tmp_path / 'once', '--no-validate')
    complete = last(tmp_path / 'once')
    middle = next(
        path for path in (tmp_path / 'once').glob('*.pth') if str(path) != complete
    )
    run_tool(
        'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'twice',
        '--no-validate',
        '--resume',
        middle,
    )
    weights = [
        torch.load(path, weights_only=False)['state_dict']
        for path in (complete, last(tmp_path / 'twice'))
    ]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('config', [FASTER_RCNN, TRANS2SEG])
def test_two_processes_use_all_parameters(config, mini, run_tool, tmp_path, free_port):
    """DDP fails if a parameter receives no gradient."""
    overrides = (
        {
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 2,
            'train_dataloader.dataset.indices': 16,
        }
        if config == FASTER_RCNN
        else {}
    )
    output = run_tool(
        'tools/dist_train.sh',
        mini(config, overrides),
        2,
        '--work-dir',
        tmp_path / 'out',
        launcher=['bash'],
        env=dict(PORT=free_port, PYTHON=sys.executable),
    )
    assert re.search('coco/bbox_mAP: |mIoU: ', output)


def test_detection_predictions_are_drawn(mini, run_tool, tmp_path):
    from mmdet.apis import DetInferencer

    out = tmp_path / 'out'
    config = mini(
        FASTER_RCNN, {'train_cfg.max_epochs': 1, 'train_dataloader.dataset.indices': 8}
    )
    run_tool('tools/train.py', config, '--work-dir', out)
    run_tool(
        'tools/test.py',
        config,
        last(out),
        '--work-dir',
        out,
        '--out',
        out / 'pred.pkl',
        '--show-dir',
        out / 'drawn',
        '--tta',
    )
    assert len(list(out.rglob('drawn/**/*.jpg'))) == 4
    run_tool(
        'tools/visualizations/contact_sheet.py',
        config,
        out / 'pred.pkl',
        '--out',
        out / 'sheet.png',
        '--rows',
        2,
        '--columns',
        2,
    )
    assert foreground_fraction(out / 'sheet.png') > 0.05
    inferencer = DetInferencer(str(config), last(out), device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (90, 77, 3), np.uint8)
    found = inferencer(image)['predictions'][0]
    assert set(found) == {'bboxes', 'labels', 'scores'}


def test_segmentation_predictions_are_drawn(mini, run_tool, tmp_path):
    from mmseg.apis import MMSegInferencer

    out = tmp_path / 'out'
    config = mini(TRANS2SEG, {'train_cfg.max_iters': 3})
    run_tool('tools/train.py', config, '--work-dir', out)
    run_tool(
        'tools/test.py',
        config,
        last(out),
        '--work-dir',
        out,
        '--out',
        out / 'maps',
        '--show-dir',
        out / 'drawn',
        '--tta',
    )
    assert len(list((out / 'maps').glob('*.png'))) == 4
    assert len(list(out.rglob('drawn/**/*.png'))) == 4
    run_tool(
        'tools/visualizations/contact_sheet.py',
        config,
        out / 'maps',
        '--out',
        out / 'sheet.png',
        '--rows',
        2,
        '--columns',
        2,
    )
    assert foreground_fraction(out / 'sheet.png') > 0.05
    inferencer = MMSegInferencer(str(config), last(out), device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (90, 77, 3), np.uint8)
    assert inferencer(image)['predictions'].shape == (90, 77)


def test_slide_and_whole_inference_keep_image_size():
    """Segment images of any size, in windows or whole, also with odd maps."""
    from mmseg.structures import SegDataSample

    from mmvlfusion.apis.build import build_model

    cfg = Config.fromfile(ROOT / TRANS2SEG)
    for size in ((128, 171), (83, 125)):
        data = dict(
            inputs=[torch.randint(0, 256, (3, *size), dtype=torch.uint8)],
            data_samples=[SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))],
        )
        for test_cfg in (
            dict(mode='whole'),
            dict(mode='slide', crop_size=(64, 64), stride=(43, 43)),
        ):
            cfg.model.test_cfg = test_cfg
            model = build_model(cfg).eval()
            with torch.no_grad():
                sample = model.test_step(data)[0]
            assert sample.pred_sem_seg.data.shape == (1, *size)


@pytest.mark.parametrize(
    'config, overrides, message',
    [
        (
            FASTER_RCNN,
            {
                'train_dataloader.dataset.metainfo.classes': ('cat',),
                'model.roi_head.bbox_head.num_classes': 1,
            },
            'has only 0 of the 1 classes cat',
        ),
        (
            FASTER_RCNN,
            {
                'train_dataloader.dataset.metainfo.classes': ('cat',),
                'train_dataloader.dataset.filter_cfg': dict(filter_empty_gt=True),
            },
            'A data set has no images left',
        ),
        (
            FASTER_RCNN,
            {'train_dataloader.dataset.data_prefix.img': 'val2017/'},
            'which is missing: check data_root',
        ),
        (
            FASTER_RCNN,
            {'model.roi_head.bbox_head.num_classes': 5},
            'set model.roi_head.bbox_head.num_classes=8',
        ),
        (
            FASTER_RCNN,
            {'model.backbone.out_indices': (1, 3)},
            'model.neck does not accept the output of model.backbone',
        ),
        (
            TRANS2SEG,
            {'model.decode_head.num_classes': 4},
            'set model.decode_head.num_classes=9',
        ),
        (
            TRANS2SEG,
            {'model.backbone.out_indices': (1, 4)},
            'out_indices has 4, but the blocks are 0 ... 3',
        ),
    ],
)
def test_train_rejects_bad_config(config, overrides, message, mini, run_tool, tmp_path):
    output = run_tool(
        'tools/train.py',
        mini(config, overrides),
        '--work-dir',
        tmp_path / 'out',
        status=1,
    )
    assert message in output
    assert '(train)' not in output
