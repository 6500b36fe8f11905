"""Train a model: classification, detection, segmentation or multimodal.

The options are the union of those of mmpretrain's, mmdet's and mmseg's train
scripts, all of which run our configs as well.
"""

import argparse

from mmengine.config import Config
from mmengine.device import get_device

from mmvlfusion.apis.cli import (
    add_common_arguments,
    build_runner,
    explained_errors,
    load_config,
    set_loader_defaults,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or from the latest one in the work '
        'directory if none is named',
    )
    parser.add_argument('--no-validate', action='store_true', help='do not validate')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start new loader workers for each epoch',
    )
    return parser.parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of training into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        enable_amp(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr.base_batch_size in the config.'
            )
        cfg.auto_scale_lr.enable = True
    set_loader_defaults(cfg, args)
    if args.no_persistent_workers:
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            if cfg.get(name) is not None:
                cfg[name].persistent_workers = False


def enable_amp(cfg: Config) -> None:
    """Exchange the optimizer wrapper for one of mixed precision."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'mmvlfusion.CPUAmpOptimWrapper'):
        raise ValueError(f'--amp does not know the optimizer wrapper {kind!r}.')
    if get_device() == 'cpu':
        wrapper.pop('loss_scale', None)
        wrapper.pop('dtype', None)
        wrapper.type = 'mmvlfusion.CPUAmpOptimWrapper'
    else:
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    merge_args(cfg, args)
    with explained_errors():
        build_runner(cfg).train()


if __name__ == '__main__':
    main()
