"""Command line, config and runner of the training and test scripts."""

import argparse
import logging
import os
import os.path as osp
import traceback
from contextlib import contextmanager
from typing import Iterator

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmvlfusion.hosts import host_of
from mmvlfusion.utils.torch_versions import has_fused_optimizers

from .options import check_options, drop_empty_hooks

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument(
        '--work-dir', help='folder of the logs, checkpoints and metrics'
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision: float16 on a GPU, bfloat16 on a CPU',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, as key=value; nested keys are joined by '
        'dots, lists are written key="[a,b]"',
    )
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='do not pin the memory of the data loaders',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def is_accelerated() -> bool:
    """Check whether mmengine runs on an accelerator.

    Returns:
        bool: False if it runs on the CPU.
    """
    return get_device() != 'cpu'


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply the common options.

    ``--cfg-options`` are applied first; the other options override them.

    Args:
        args (argparse.Namespace): The options.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If the config file does not exist.
    """
    if not osp.isfile(args.config):
        raise FileNotFoundError(f'The config file {args.config!r} does not exist.')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    drop_empty_hooks(cfg)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        stem = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', stem)
    return cfg


def set_loader_defaults(cfg: Config, args: argparse.Namespace) -> None:
    """Add the defaults of the host's scripts to the data loaders.

    Args:
        cfg (Config): The config, which is changed.
        args (argparse.Namespace): The options.
    """
    for name in LOADERS:
        loader = cfg.get(name)
        if loader is None:
            continue
        for key, value in host_of(cfg).loader_defaults.items():
            loader.setdefault(key, value)
        if args.no_pin_memory or not is_accelerated():
            loader.pin_memory = False


@contextmanager
def process_group() -> Iterator[None]:
    """Leave the process group at the end of a script.

    Processes of gloo that end without leaving it abort in about a quarter of
    the runs, so that the launcher reports a failure after a finished training.
    """
    try:
        yield
        if torch_dist.is_initialized():
            torch_dist.barrier()
    finally:
        if torch_dist.is_initialized():
            torch_dist.destroy_process_group()


@contextmanager
def explained_errors() -> Iterator[None]:
    """Explain mmengine's errors for an empty data set and for short schedules.

    Raises:
        ValueError: Instead of the original error.
    """
    try:
        yield
    except ValueError as error:
        if 'end should be larger than begin' in str(error):
            raise ValueError(
                'A schedule of param_scheduler begins after the training ends '
                f'({error}): lower its begin, end and T_max to fit '
                'train_cfg.max_epochs or max_iters.'
            ) from error
        frames = traceback.extract_tb(error.__traceback__)
        if all(frame.name != '_serialize_data' for frame in frames):
            raise
        raise ValueError(
            'A data set has no images left after filtering: set the classes of '
            'its metainfo to those of its annotation file, and check data_root, '
            'ann_file and data_prefix.'
        ) from error


def build_runner(cfg: Config) -> Runner:
    """Build the runner, distributed over CPUs if there is no accelerator.

    Args:
        cfg (Config): The config, which is changed.

    Returns:
        Runner: The runner.
    """
    for name in LOADERS:
        loader = cfg.get(name)
        # PyTorch raises an error for persistent workers without workers.
        if loader is not None and not loader.get('num_workers'):
            loader.persistent_workers = False
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    if optimizer.get('fused') and not has_fused_optimizers(get_device()):
        optimizer['fused'] = False
        print_log(
            f'PyTorch {torch.__version__} has no fused optimizers for this device: '
            'optim_wrapper.optimizer.fused is set to False.',
            level=logging.WARNING,
        )
    if cfg.launcher != 'none' and not is_accelerated():
        _distribute_over_cpus(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def _distribute_over_cpus(cfg: Config) -> None:
    """Initialise a gloo process group; mmengine's launcher needs a GPU."""
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs GPUs. On CPUs, start the '
            'processes with tools/dist_train.sh (--launcher pytorch).'
        )
    torch_dist.init_process_group(backend='gloo')
    # SyncBatchNorm needs GPUs.
    cfg.pop('sync_bn', None)
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    local_ranks = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    torch.set_num_threads(max(1, torch.get_num_threads() // local_ranks))
