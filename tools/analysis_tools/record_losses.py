"""Record the losses of the first iterations of a small training of each method.

Input: none; the data are synthetic shapes, generated in a temporary folder.
Output: ``torch-VERSION.json`` in the folder ``--out``, with the losses and what
their bits depend on. ``tests/test_tools/test_record_losses.py`` compares them with
those of the current code. CONTRIBUTING.md says when to record them again.

Example:

    python tools/analysis_tools/record_losses.py
"""

import argparse
import os.path as osp
import platform
import re
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple

import mmengine
import numpy as np
import torch
from mmengine.config import Config

from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.cli import build_runner
from mmvlfusion.models.multimodal.tokenizers import train_tokenizer
from mmvlfusion.testing.shapes import write_dataset

ROOT = osp.realpath(osp.join(osp.dirname(__file__), '..', '..'))
# Kernels split their sums over threads, which changes the last bits.
THREADS = 1


class Method(NamedTuple):
    """A small training.

    Attributes:
        config (str): The config.
        data (str): Folder of its data.
        batch_size (int): Number of samples in a batch.
        settings (dict): Settings that override those of the config.
        iterations (int): Number of iterations.
        comparable (int): Number of iterations in which the kernels of another
            instruction set (SSE4 instead of AVX2) changed no loss by more than
            1e-6 of it. Later, a different last digit changes a choice, such as
            that of boxes, or the sign of a first step of Adam.
    """

    config: str
    data: str
    batch_size: int
    settings: dict = {}
    iterations: int = 50
    comparable: int = 50


METHODS = {
    'tnt': Method('tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py', 'classification', 8),
    'faster-rcnn': Method(
        'tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px.py',
        'coco',
        2,
        iterations=20,
        comparable=11,
    ),
    'trans2seg': Method(
        'tnt/trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py',
        'ade',
        2,
        iterations=25,
        comparable=2,
    ),
    'pela': Method(
        'pela/pela-r2_vit-lite-p4_1xb64-30e_cifar10-32px.py',
        'classification',
        8,
        {
            'model.teacher_ckpt': 'teacher.pth',
            'model.student.head.num_classes': 8,
            'data_preprocessor.num_classes': 8,
        },
    ),
    'jar': Method(
        'jar/jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py',
        'vqa',
        2,
        {'model.tokenizer': 'tokenizer', 'model.backbone.init_cfg': None},
    ),
    'mplug': Method(
        'mplug/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px.py',
        'caption',
        4,
        {'model.tokenizer': 'tokenizer', 'model.backbone.init_cfg': None},
        iterations=25,
    ),
}


def environment() -> Dict[str, object]:
    """Describe what the bits of the losses depend on.

    Returns:
        dict: Version of PyTorch, number of threads, instruction set that PyTorch
        uses, and name of the processor, by which MKL and oneDNN choose kernels.
    """
    processor = platform.processor()
    if osp.isfile('/proc/cpuinfo'):
        names = re.findall(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
        processor = names[0] if names else processor
    return dict(
        torch=torch.__version__.split('+')[0],
        threads=THREADS,
        capability=torch.backends.cpu.get_cpu_capability(),
        processor=processor,
    )


def write_inputs(root: Path) -> None:
    """Write the data, the tokenizer and the teacher.

    Args:
        root (Path): The folder.
    """
    tasks = ('classification', 'detection', 'segmentation', 'vqa', 'caption')
    write_dataset(root, 'easy', dict(train=48, val=16), tasks, 0, workers=1)
    texts = [
        entry[field]
        for file, part, field in (
            ('vqa/annotations/questions_train.json', 'questions', 'question'),
            ('caption/annotations/captions_train.json', 'annotations', 'caption'),
        )
        for entry in mmengine.load(root / file)[part]
    ]
    train_tokenizer(texts, 200, 1).save_pretrained(root / 'tokenizer')
    cfg = Config.fromfile(
        osp.join(ROOT, 'configs/pela/vit-lite-p4_1xb64-30e_cifar10-32px.py')
    )
    cfg.model.head.num_classes = 8
    torch.manual_seed(0)
    teacher = build_model(cfg)
    teacher.init_weights()
    torch.save(teacher.state_dict(), root / 'teacher.pth')


def config_of(method: Method, root: Path, work_dir: str) -> Config:
    """Make the config of a small training.

    Args:
        method (Method): The training.
        root (Path): The folder of its data, tokenizer and teacher.
        work_dir (str): Folder of its log.

    Returns:
        Config: The config.
    """
    cfg = Config.fromfile(osp.join(ROOT, 'configs', method.config))
    settings = {
        key: str(root / value) if value in ('tokenizer', 'teacher.pth') else value
        for key, value in method.settings.items()
    }
    cfg.merge_from_dict(
        {
            **settings,
            'default_hooks.checkpoint': dict(interval=-1, save_last=False),
            'log_processor': dict(by_epoch=False),
            'train_dataloader.batch_size': method.batch_size,
            'train_dataloader.num_workers': 0,
            'train_dataloader.dataset.data_root': str(root / method.data),
        }
    )
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{name}_{part}'] = None
    cfg.train_cfg = dict(by_epoch=False, max_iters=method.iterations)
    cfg.param_scheduler = dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, end=10
    )
    cfg.work_dir = work_dir
    cfg.launcher = 'none'
    cfg.randomness = dict(seed=0)
    return cfg


def losses_of(method: Method, root: Path) -> List[float]:
    """Train, and return the loss of each iteration.

    Args:
        method (Method): The training.
        root (Path): The folder of ``write_inputs``.

    Returns:
        list[float]: The shortest decimal numbers that are the losses in single
        precision.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with tempfile.TemporaryDirectory() as work_dir:
            runner = build_runner(config_of(method, root, work_dir))
            runner.train()
    finally:
        torch.set_num_threads(threads)
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    return [float(str(np.float32(loss))) for loss in losses]


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out',
        default=osp.join(ROOT, 'tests', 'golden_losses'),
        help='folder of the file (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Record the losses of all methods."""
    args = parse_args()
    found = environment()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_inputs(root)
        losses = {name: losses_of(method, root) for name, method in METHODS.items()}
    path = osp.join(args.out, f'torch-{found["torch"]}.json')
    mmengine.mkdir_or_exist(args.out)
    mmengine.dump(dict(environment=found, losses=losses), path)
    print(f'Wrote {path}.')


if __name__ == '__main__':
    main()
