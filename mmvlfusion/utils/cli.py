"""What ``tools/train.py`` and ``tools/test.py`` have in common."""
import argparse
import os
import os.path as osp
import traceback
from contextlib import contextmanager
from typing import Iterator

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument(
        '--work-dir', help='folder of the logs, checkpoints and metrics')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision: float16 on a GPU, bfloat16 on a CPU')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, as key=value; nested keys are joined by '
        'dots, lists are written key="[a,b]"')
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='do not pin the memory of the data loaders')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply the common options, ``--cfg-options``
    first, so that the others find what they set.

    Raises:
        FileNotFoundError: If there is no such config file.
    """
    if not osp.isfile(args.config):
        raise FileNotFoundError(f'There is no config file {args.config!r}.')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        stem = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', stem)
    return cfg


def set_loader_defaults(cfg: Config, args: argparse.Namespace) -> None:
    """Give the loaders of classification configs mmpretrain's defaults."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is None:
            continue
        if cfg.get('default_scope') == 'mmpretrain':
            loader.setdefault('pin_memory', True)
            loader.setdefault('persistent_workers', True)
            loader.setdefault('collate_fn', dict(type='default_collate'))
        if args.no_pin_memory:
            loader.pin_memory = False


@contextmanager
def explained_errors() -> Iterator[None]:
    """Say what mmengine's complaint about an empty data set means.

    Raises:
        ValueError: In its place.
    """
    try:
        yield
    except ValueError as error:
        frames = traceback.extract_tb(error.__traceback__)
        if all(frame.name != '_serialize_data' for frame in frames):
            raise
        raise ValueError(
            'A data set has no images left after filtering: the classes of '
            'its metainfo are not those of its annotation file, or data_root, '
            'ann_file and data_prefix point at other data.') from error


def build_runner(cfg: Config) -> Runner:
    """Build the runner, distributed over CPUs where there is no GPU."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is not None and not loader.get('num_workers'):
            loader.persistent_workers = False  # PyTorch refuses it there.
    if cfg.launcher != 'none' and get_device() == 'cpu':
        _distribute_over_cpus(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def _distribute_over_cpus(cfg: Config) -> None:
    """Join a gloo group, where mmengine's launcher would ask for a GPU."""
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs GPUs. On CPUs start the '
            'processes with tools/dist_train.sh (--launcher pytorch).')
    torch_dist.init_process_group(backend='gloo')
    cfg.pop('sync_bn', None)  # SyncBatchNorm needs GPUs.
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    torch.set_num_threads(
        max(1, torch.get_num_threads() // int(
            os.environ.get('LOCAL_WORLD_SIZE', 1))))
