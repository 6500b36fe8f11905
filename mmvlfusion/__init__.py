"""Efficient vision and vision-language models for OpenMMLab."""

import difflib
import os.path as osp

import mmcv
import mmengine
from mmengine.config import utils as config_utils
from mmengine.utils import digit_version

from .version import __version__

# Lowest supported release and first unsupported one.
_SUPPORTED = {mmengine: ('0.10.5', '1.0.0'), mmcv: ('2.1.0', '3.0.0')}

for _module, (_lowest, _limit) in _SUPPORTED.items():
    if not (
        digit_version(_lowest)
        <= digit_version(_module.__version__)
        < digit_version(_limit)
    ):
        raise ImportError(
            f'mmvlfusion {__version__} works with {_module.__name__} '
            f'>={_lowest},<{_limit}, but {_module.__version__} is installed. '
            f'Install a release in this range.'
        )

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


__all__ = ['__version__', 'config_path']
