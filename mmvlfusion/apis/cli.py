"""Command line, config and runner of the training and test scripts."""

import argparse
import logging
import os
import os.path as osp
import traceback
from contextlib import contextmanager
from typing import Iterator, Optional

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmvlfusion.hosts import host_of
from mmvlfusion.models.utils import check_checkpoint
from mmvlfusion.utils.torch_versions import has_fused_optimizers

from .build import drop_idle_persistence
from .options import drop_empty_hooks, read_config, warn_of_unread_keys

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
        help='automatic mixed precision: bfloat16 on a CPU; on a GPU float16 in tests '
        'and the type of --amp-dtype in training',
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
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    warn_of_unread_keys(cfg)
    drop_empty_hooks(cfg)
    _keep_base(cfg)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        stem = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', stem)
    return cfg


def _keep_base(cfg: Config) -> None:
    """Let ``AdapterHook`` load the base, since the checkpoint that is tested or resumed
    replaces ``load_from``."""
    hook = cfg.get('default_hooks', {}).get('adapters')
    if hook is not None and hook.get('base') is None and cfg.get('load_from'):
        hook.base = cfg.load_from


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
    """Explain errors for empty or incomplete data sets, for short schedules, and
    for operators without bfloat16.

    Raises:
        ValueError: Instead of the original error.
    """
    try:
        yield
    except RuntimeError as error:
        if "not implemented for 'BFloat16'" not in str(error):
            raise
        raise ValueError(
            f'An operator of the model has no bfloat16 ({error}): set --amp-dtype '
            'float16, or train without --amp.'
        ) from error
    except (KeyError, TypeError) as error:
        entry = _annotation_entry(error)
        if entry is None:
            raise
        reason = f'{type(error).__name__}: {error}. Correct the value'
        if isinstance(error, KeyError):
            reason = f'the field {error} is missing. Add it to all entries'
        raise ValueError(
            f'{entry} cannot be read: {reason}; COCO has images with id, file_name, '
            'width and height, annotations with id, image_id, category_id, bbox and '
            'area, and categories with id and name.'
        ) from error
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
            'ann_file and data_prefix in its data loader, such as '
            'train_dataloader.dataset.data_root.'
        ) from error


def _annotation_entry(error: Exception) -> Optional[str]:
    """The json file of a data set that raises an error, and the image in it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name != 'load_data_list':
            continue
        path = str(getattr(frame.f_locals['self'], 'ann_file', ''))
        if not path.endswith('.json'):
            continue
        image = frame.f_locals.get('raw_img_info')
        return path if image is None else f'{path}, image {image["id"]},'
    return None


def build_runner(cfg: Config) -> Runner:
    """Build the runner, distributed over CPUs if there is no accelerator.

    Args:
        cfg (Config): The config, which is changed.

    Returns:
        Runner: The runner.

    Raises:
        ValueError: If the checkpoint ``load_from`` is incomplete or may run
            code.
    """
    # Hooks and mmengine report a missing file.
    if cfg.get('load_from') and osp.isfile(cfg.load_from):
        check_checkpoint(cfg.load_from)
    for name in LOADERS:
        if cfg.get(name) is not None:
            drop_idle_persistence(cfg[name])
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
    if not torch_dist.is_initialized():
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
