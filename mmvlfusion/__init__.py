"""Efficient vision and vision-language models for OpenMMLab."""

import difflib
import os.path as osp
from typing import Any

from .utils.versions import check_release
from .version import __version__

for _library in ('mmengine', 'mmcv'):
    check_release(_library)

import mmengine  # noqa: E402  # After the check of its release.
from mmengine.config import utils as config_utils  # noqa: E402

# Lets ``_base_ = 'mmvlfusion::...'`` and ``get_model`` find our configs.
config_utils.MODULE2PACKAGE.setdefault('mmvlfusion', 'mmvlfusion')


def config_path(name: str) -> str:
    """Get the path of one of our configs.

    In a config that a host's own script reads, ``_base_ =
    __import__('mmvlfusion').config_path(name)`` inherits it; mmengine
    evaluates ``_base_`` before any other import could run.

    Args:
        name (str): Path below ``configs``, such as
            ``'tnt/tnt-small-p16_8xb128-300e_in1k.py'``.

    Returns:
        str: The absolute path.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    root = osp.join(osp.dirname(osp.abspath(__file__)), '.mim', 'configs')
    path = osp.join(root, name)
    if osp.isfile(path):
        return path
    names = list(mmengine.scandir(root, '.py', recursive=True))
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    raise FileNotFoundError(
        f'mmvlfusion has no config {name!r}. Similar ones: {similar}; all are '
        f'below {root}.'
    )


def __getattr__(name: str) -> Any:
    """Import ``from_pretrained`` when it is used, since it imports all models."""
    if name == 'from_pretrained':
        from .apis.pretrained import from_pretrained

        return from_pretrained
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


__all__ = ['__version__', 'config_path', 'from_pretrained']
