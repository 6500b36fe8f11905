"""Pre-training and its tasks with the tools on a few synthetic scenes."""

import json
import pickle

import pytest
import torch
from mmengine.config import Config

from mmvlfusion.apis.build import build_model

from ..helpers import ROOT, foreground_fraction, load_tool

MPLUG = 'configs/mplug/mplug-mini_tnt-micro-p8_{}1xb64-{}e_shapes-64px.py'
PRETRAINING = MPLUG.format('', 4)
TASKS = {
    task: MPLUG.format(task + '_', 2) for task in ('caption', 'retrieval', 'grounding')
}
TASKS['snli-ve'] = (
    TASKS['caption'].replace('caption', 'snli-ve').replace('1xb64', '1xb16')
)
FOLDERS = {
    'caption': 'caption',
    'retrieval': 'caption',
    'grounding': 'grounding',
    'snli-ve': 'snli_ve',
}
SCORES = {
    'caption': 'caption/Bleu_4',
    'retrieval': 't2i/retrieval/Recall@1',
    'grounding': 'visual-grounding/acc',
    'snli-ve': 'SNLI-VE/acc',
}
VIDEO = 'configs/mplug/mplug-mini_tnt-micro-p8_{}_shapes-video-64px.py'
VIDEO_TASKS = {'vqa': 'vqa_1xb16-12e', 'retrieval': 'retrieval_1xb64-2e'}


@pytest.fixture(scope='module')
def tokenizer(shapes_root, tmp_path_factory):
    """A tokenizer with the words of captions and position tokens of boxes."""
    entries = json.loads(
        (shapes_root / 'caption/annotations/karpathy_train.json').read_text()
    )
    train = load_tool('dataset_converters/build_tokenizer.py').train_tokenizer
    folder = tmp_path_factory.mktemp('texts')
    train([entry['caption'] for entry in entries], 300, 1, unused=66).save_pretrained(
        folder
    )
    return folder


def options(shapes_root, tokenizer, folder, *splits):
    roots = [
        f'{split}_dataloader.dataset.data_root={shapes_root}/{folder}'
        for split in ('train', *splits)
    ]
    return [
        *roots,
        f'model.tokenizer={tokenizer}',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'train_dataloader.batch_size=16',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'param_scheduler.0.end=2',
        'param_scheduler.1.T_max=1',
        *(f'{split}_dataloader.num_workers=0' for split in splits),
        *(f'{split}_dataloader.persistent_workers=False' for split in splits),
    ]


def test_task_starts_from_pretraining(shapes_root, tokenizer, run_tool, tmp_path):
    """Pre-train, then fine-tune a task from the checkpoint."""
    run_tool(
        'tools/train.py',
        PRETRAINING,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'model.queue_size=32',
        'model.backbone.init_cfg=None',
        *options(shapes_root, tokenizer, 'caption'),
    )
    out = run_tool(
        'tools/train.py',
        TASKS['caption'],
        '--work-dir',
        tmp_path / 'caption',
        '--cfg-options',
        f'load_from={tmp_path}/epoch_1.pth',
        *options(shapes_root, tokenizer, 'caption', 'val'),
    )
    assert 'caption/CIDEr' in out
    assert 'size mismatch' not in out
    missing = [line for line in out.split('\n') if 'missing keys' in line]
    assert not missing, missing


@pytest.mark.parametrize('task', TASKS)
def test_task_trains_tests_and_is_drawn(
    task, shapes_root, tokenizer, run_tool, tmp_path
):
    """Train, test and draw a contact sheet of the predictions."""
    run_tool(
        'tools/train.py',
        TASKS[task],
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'load_from=None',
        *options(shapes_root, tokenizer, FOLDERS[task], 'val', 'test'),
        *(['model.queue_size=32'] if task == 'retrieval' else []),
    )
    trained = tmp_path / TASKS[task].split('/')[-1]
    out = tmp_path / 'predictions.pkl'
    report = run_tool(
        'tools/test.py',
        trained,
        tmp_path / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out',
        out,
    )
    assert SCORES[task] in report
    assert pickle.loads(out.read_bytes())
    sheet = tmp_path / 'sheet.png'
    run_tool(
        'tools/visualizations/contact_sheet.py',
        trained,
        out,
        '--out',
        sheet,
        '--rows',
        2,
        '--columns',
        2,
    )
    assert foreground_fraction(sheet) > 0.05


@pytest.mark.parametrize('task', ['vqa', 'retrieval'])
def test_image_model_is_tested_on_videos(
    task, shapes_root, tokenizer, run_tool, tmp_path
):
    """Models of images accept videos without changes."""
    cfg = Config.fromfile(ROOT / VIDEO.format(VIDEO_TASKS[task]))
    cfg.merge_from_dict(
        {'model.tokenizer': str(tokenizer), 'model.backbone.init_cfg': None}
    )
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=build_model(cfg).state_dict()), checkpoint)
    report = run_tool(
        'tools/test.py',
        VIDEO.format(VIDEO_TASKS[task]),
        checkpoint,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        f'model.tokenizer={tokenizer}',
        f'test_dataloader.dataset.data_root={shapes_root}/video',
    )
    assert dict(vqa='VQA/acc', **SCORES)[task] in report
