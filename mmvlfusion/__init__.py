"""Efficient vision and vision-language models for OpenMMLab."""
import mmcv
import mmengine
from mmengine.config import utils as config_utils
from mmengine.utils import digit_version

from .version import __version__

# What the code was written against: lowest supported, first unsupported.
_SUPPORTED = {mmengine: ('0.10.5', '1.0.0'), mmcv: ('2.1.0', '3.0.0')}

for _module, (_lowest, _limit) in _SUPPORTED.items():
    if not (digit_version(_lowest) <= digit_version(_module.__version__) <
            digit_version(_limit)):
        raise ImportError(
            f'mmvlfusion {__version__} works with {_module.__name__} '
            f'>={_lowest},<{_limit}, but {_module.__version__} is installed. '
            f'Install a release in this range.')

# Lets ``_base_ = 'mmvlfusion::...'`` and ``get_model`` find our configs.
config_utils.MODULE2PACKAGE.setdefault('mmvlfusion', 'mmvlfusion')

__all__ = ['__version__']
