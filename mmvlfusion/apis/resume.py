"""The checkpoint from which an interrupted training goes on."""

import os
import os.path as osp
import zipfile
from glob import glob
from typing import Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from mmvlfusion.models.utils import check_checkpoint

CHECKPOINTS = ('epoch_*.pth', 'iter_*.pth')


def is_complete(path: str) -> bool:
    """Check whether a checkpoint was written to its end.

    Args:
        path (str): The file.

    Returns:
        bool: False if the file is missing or truncated. PyTorch writes zip
        archives, whose directory is at the end.
    """
    return osp.isfile(path) and zipfile.is_zipfile(path)


def latest_complete_checkpoint(work_dir: str) -> Optional[str]:
    """Find the checkpoint to resume from.

    It is the one that ``last_checkpoint`` names or, if that is missing or
    truncated, the newest complete one.

    Args:
        work_dir (str): Folder of the run.

    Returns:
        str | None: The file, or None if there is no complete checkpoint.
    """
    last = None
    if osp.isfile(osp.join(work_dir, 'last_checkpoint')):
        last = find_latest_checkpoint(work_dir)
    if last and ('://' in last or is_complete(last)):
        return last
    found = [
        path
        for pattern in CHECKPOINTS
        for path in glob(osp.join(work_dir, pattern))
        if is_complete(path)
    ]
    newest = max(found, key=os.path.getmtime, default=None)
    if last:
        fate = f'resuming from {newest}' if newest else 'no other is complete'
        print_log(f'The checkpoint {last} is missing or truncated; {fate}.')
    return newest


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Make a training go on from a checkpoint.

    Args:
        cfg (Config): The config, which is changed in place.
        checkpoint (str): A file or an address; or ``'auto'``, the latest one in
            the work directory. If there is none, ``load_from`` of the config is
            kept and training starts from it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is truncated.
    """
    if checkpoint == 'auto':
        latest = latest_complete_checkpoint(cfg.work_dir)
        if latest is None:
            print_log(f'There is no checkpoint in {cfg.work_dir} to resume from.')
            return
        checkpoint = latest
    elif '://' not in checkpoint:
        if not osp.isfile(checkpoint):
            raise FileNotFoundError(
                f'The checkpoint {checkpoint!r} does not exist: give another file '
                'to --resume, or no file to resume from the latest one in the '
                'work directory.'
            )
        if not is_complete(checkpoint):
            raise ValueError(
                f'The checkpoint {checkpoint!r} is truncated: give another file '
                'to --resume, or no file to resume from the latest complete one '
                'in the work directory.'
            )
        check_checkpoint(checkpoint)
    cfg.resume = True
    cfg.load_from = checkpoint
