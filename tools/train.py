"""Train a model for any task: classification, detection, and others.

Input: a config of mmpretrain, mmdet or mmseg. The options are those of the
train scripts of all three hosts. Those scripts can run the configs of this
project as well.
Output: logs and checkpoints in the work directory.

Example:

    python tools/train.py CONFIG --work-dir work_dirs/run --amp
"""

import argparse
from typing import Optional

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.apis.cli import (
    LOADERS,
    add_common_arguments,
    build_runner,
    explained_errors,
    is_accelerated,
    load_config,
    process_group,
    set_loader_defaults,
)
from mmvlfusion.apis.resume import set_resume
from mmvlfusion.datasets.utils.batches import check_batches
from mmvlfusion.hosts import operator_without_bfloat16
from mmvlfusion.utils.drawing import literal_texts
from mmvlfusion.utils.torch_versions import has_bfloat16

# The optimizer wrappers that --amp can replace.
WRAPPERS = ('OptimWrapper', 'AmpOptimWrapper', 'mmvlfusion.CPUAmpOptimWrapper')
# Loss scaling keeps small gradients within the range of float16. bfloat16 has the
# range of float32.
LOSS_SCALES = dict(float16='dynamic', bfloat16=dict(enabled=False))


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument(
        '--amp-dtype',
        choices=list(LOSS_SCALES),
        help='type of --amp; float16 with loss scaling (default: bfloat16 on a CPU and '
        'on GPUs that have it, unless the model has operators of mmcv, which lack it)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint, or without a value from the latest one '
        'in the work directory',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate during training'
    )
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
    args = parser.parse_args()
    if args.amp_dtype and not args.amp:
        parser.error(f'--amp-dtype {args.amp_dtype} needs --amp: add --amp')
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of training into the config.

    Args:
        cfg (Config): The config, which is changed in place.
        args (argparse.Namespace): The arguments of the command line.

    Raises:
        ValueError: If the config lacks a setting that an option needs.
    """
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        enable_amp(cfg, args.amp_dtype)
    if args.resume is not None:
        set_resume(cfg, args.resume)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr.base_batch_size: set it in '
                'the config.'
            )
        cfg.auto_scale_lr.enable = True
        scale_base_batch_size(cfg, args)
    set_loader_defaults(cfg, args)
    if args.no_persistent_workers:
        for name in LOADERS:
            if cfg.get(name) is not None:
                cfg[name].persistent_workers = False


def scale_base_batch_size(cfg: Config, args: argparse.Namespace) -> None:
    """Adapt the base batch size to an overridden ``accumulative_counts``.

    mmengine scales the learning rate by the samples of one iteration. The base
    batch size of a config therefore holds for its own ``accumulative_counts``.

    Args:
        cfg (Config): The config, which is changed in place.
        args (argparse.Namespace): The arguments of the command line.
    """
    original = Config.fromfile(args.config).optim_wrapper.get('accumulative_counts', 1)
    counts = cfg.optim_wrapper.get('accumulative_counts', 1)
    if counts != original:
        cfg.auto_scale_lr.base_batch_size *= original / counts
        print_log(
            f'--auto-scale-lr: optim_wrapper.accumulative_counts={counts} instead '
            f'of {original} changes the samples per step, so that '
            f'auto_scale_lr.base_batch_size={cfg.auto_scale_lr.base_batch_size:g}.'
        )


def enable_amp(cfg: Config, dtype: Optional[str] = None) -> None:
    """Replace the optimizer wrapper by one for mixed precision.

    Args:
        cfg (Config): The config, which is changed in place.
        dtype (str, optional): ``'float16'`` or ``'bfloat16'``. Defaults to the
            type in the config; if it has none, ``choose_amp_dtype`` sets it.

    Raises:
        ValueError: If the optimizer wrapper is not a plain one, or ``dtype`` is
            not supported.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind not in WRAPPERS:
        raise ValueError(
            f'--amp cannot replace the optimizer wrapper {kind!r}: expected one '
            f'of {list(WRAPPERS)}, set optim_wrapper.type.'
        )
    if not is_accelerated():
        if dtype == 'float16':
            raise ValueError(
                '--amp-dtype float16 needs a GPU: set --amp-dtype bfloat16.'
            )
        wrapper.pop('loss_scale', None)
        wrapper.pop('dtype', None)
        wrapper.type = 'mmvlfusion.CPUAmpOptimWrapper'
        return
    wrapper.type = 'AmpOptimWrapper'
    if dtype is not None:
        wrapper.pop('loss_scale', None)
        wrapper.dtype = dtype
    if wrapper.get('dtype') in LOSS_SCALES:
        wrapper.setdefault('loss_scale', LOSS_SCALES[wrapper.dtype])


def choose_amp_dtype(runner: Runner) -> None:
    """Choose the type of mixed precision if the config has none.

    Args:
        runner (Runner): The runner, before it trains. The config of its optimizer
            wrapper is changed.
    """
    if not is_accelerated() or 'dtype' in runner.optim_wrapper:
        return
    dtype, reason = 'float16', 'the device has no bfloat16'
    if has_bfloat16(get_device()):
        dtype, reason = 'bfloat16', 'the device has it'
        # The flexible runner builds its model later.
        if isinstance(runner.model, nn.Module):
            operator = operator_without_bfloat16(runner.model)
            if operator is not None:
                dtype, reason = 'float16', f'{operator} of mmcv has no bfloat16'
    print_log(f'--amp trains in {dtype} ({reason}); --amp-dtype sets another type.')
    for wrapper in (runner.optim_wrapper, runner.cfg.optim_wrapper):
        wrapper.dtype = dtype
        if dtype == 'bfloat16':
            wrapper.loss_scale = LOSS_SCALES[dtype]
        else:
            wrapper.setdefault('loss_scale', LOSS_SCALES[dtype])


def main() -> None:
    """Train the config of the command line."""
    args = parse_args()
    cfg = load_config(args)
    merge_args(cfg, args)
    with process_group(), explained_errors(), literal_texts():
        runner = build_runner(cfg)
        if args.amp:
            choose_amp_dtype(runner)
        if runner.train_loop is not None:
            check_batches(runner.train_loop)
        runner.train()


if __name__ == '__main__':
    main()
