"""Export a trained model for ONNX Runtime, OpenVINO or PyTorch.

Input: a config and a checkpoint of a classifier, a segmentor, or a model for
questions or captions. For a PELADistiller the student is taken.
Output: a folder with one file for each graph and ``export.json``, which describes
inputs, outputs and the normalisation of images. Each graph was run by its runtime, for
several sizes, and compared with PyTorch; if outputs differ, nothing is written. With
``--test`` the metrics of the test set, from PyTorch and from the exported graph.

Examples:

    python tools/export.py CONFIG CHECKPOINT --dynamic
    python tools/export.py CONFIG CHECKPOINT --int8 --calibration 8 --test
"""

import argparse
import os.path as osp
from itertools import islice
from typing import Any, Dict, Iterator, Optional

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.analysis.complexity import resolve_shape
from mmvlfusion.apis.build import build_model, drop_idle_persistence
from mmvlfusion.apis.options import read_config
from mmvlfusion.deploy import FORMATS, export_model, load_export
from mmvlfusion.deploy.graphs import DYNAMIC_AXES
from mmvlfusion.hosts import host_of, image_channels
from mmvlfusion.models.utils import unwrap_model


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of any host')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--format',
        choices=list(FORMATS),
        default='onnx',
        help='file format (default: %(default)s)',
    )
    parser.add_argument(
        '--out', help='folder to write (default: work_dirs/CONFIG_FORMAT)'
    )
    parser.add_argument(
        '--dynamic',
        nargs='?',
        choices=list(DYNAMIC_AXES),
        const='size',
        default='none',
        help='what is not fixed: batch; or size: batch, sizes of images and lengths of '
        'texts (default: none; without a value: size)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='images of a batch, if fixed (default: %(default)s)',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        help='height and width in pixels of the images, or one number for both '
        '(default: the input size of the config, or 224)',
    )
    parser.add_argument(
        '--int8', action='store_true', help='quantise to int8; needs --calibration'
    )
    parser.add_argument(
        '--calibration',
        type=int,
        default=0,
        metavar='N',
        help='calibrate int8 on N batches of the training set',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        help='largest accepted difference from PyTorch, relative to the values '
        '(default: 0.001 of the largest value; with --int8 0.5, root mean square)',
    )
    parser.add_argument(
        '--test',
        action='store_true',
        help='compare the metrics of a classifier or segmentor on the test set',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override, as key=value',
    )
    args = parser.parse_args()
    if args.int8 and args.calibration < 1:
        parser.error(
            '--int8 needs calibration data: set --calibration N to a number of batches '
            'of the training set'
        )
    if args.calibration and not args.int8:
        parser.error('--calibration is only used with --int8: add it')
    if args.shape is not None and (len(args.shape) > 2 or min(args.shape) < 1):
        parser.error(f'--shape takes one or two positive numbers, got {args.shape}')
    return args


def training_batches(cfg: Config, number: int) -> Iterator[dict]:
    """Load batches of the training set.

    Args:
        cfg (Config): The config.
        number (int): Number of batches.

    Yields:
        dict: A batch.
    """
    if cfg.get('train_dataloader') is None:
        raise ValueError(
            'int8 needs calibration data, but the config has no train_dataloader: add '
            'it.'
        )
    drop_idle_persistence(cfg.train_dataloader)
    yield from islice(Runner.build_dataloader(cfg.train_dataloader, seed=0), number)


def preprocessing(model: nn.Module) -> Dict[str, Any]:
    """Describe how images are normalised before they are given to a graph.

    Args:
        model (nn.Module): The model.

    Returns:
        dict: Mean and standard deviation of the channels, and whether images that
        were read as BGR are converted to RGB before.
    """
    source = model.data_preprocessor
    values = {
        name: getattr(source, name).flatten().tolist()
        for name in ('mean', 'std')
        if getattr(source, name, None) is not None
    }
    to_rgb = getattr(source, 'to_rgb', getattr(source, 'channel_conversion', False))
    return dict(values, bgr_to_rgb=bool(to_rgb))


def test(cfg: Config, model: nn.Module) -> Dict[str, float]:
    """Compute the metrics of the test set.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model.

    Returns:
        dict[str, float]: The metrics.
    """
    drop_idle_persistence(cfg.test_dataloader)
    runner = Runner(
        model,
        work_dir=osp.join('work_dirs', 'export'),
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        default_scope=cfg.get('default_scope'),
        default_hooks=dict(logger=None),
        log_level='ERROR',
    )
    return runner.test()


def main() -> None:
    """Export the model of the command line."""
    args = parse_args()
    MMLogger.get_instance('export', log_level='ERROR')
    cfg = read_config(args.config, args.cfg_options)
    model = unwrap_model(build_model(cfg, args.checkpoint), deploy=True)
    cfg.model = cfg.model.get('student', cfg.model)
    host = host_of(cfg)
    stem = osp.splitext(osp.basename(args.config))[0]
    suffix = args.format + ('-int8' if args.int8 else '')
    out = args.out or osp.join('work_dirs', f'{stem}_{suffix}')
    calibration: Optional[Iterator[dict]] = None
    if args.int8:
        calibration = training_batches(cfg, args.calibration)
    reports = export_model(
        model,
        host,
        out,
        resolve_shape(args.shape, cfg),
        args.format,
        args.dynamic,
        args.batch_size,
        image_channels(cfg.model),
        calibration,
        args.int8,
        args.tolerance,
        dict(config=args.config, preprocessing=preprocessing(model)),
    )
    print('| file | size (MiB) | difference from PyTorch |\n|---|---|---|')
    for report in reports:
        print(f'| {report.path} | {report.mib:.2f} | {report.difference:.2g} |')
    print(f'Compared for: {"; ".join(reports[0].cases)}')
    if args.test:
        eager = test(cfg, model)
        host.replace_logits(model, lambda images: load_export(out)['model'](images)[0])
        exported = test(cfg, model)
        print('| metric | PyTorch | exported |\n|---|---|---|')
        for name, value in eager.items():
            print(f'| {name} | {value:.2f} | {exported[name]:.2f} |')


if __name__ == '__main__':
    main()
