import logging

from mmengine.logging import print_log

from mmvlfusion.utils.checks import require

from .adapters import *  # noqa: F403
from .adapters import __all__ as _adapters
from .backbones import *  # noqa: F403
from .backbones import __all__ as _backbones
from .distillation import *  # noqa: F403
from .distillation import __all__ as _distillation
from .low_rank import *  # noqa: F403
from .low_rank import __all__ as _low_rank
from .multimodal import *  # noqa: F403
from .multimodal import __all__ as _multimodal
from .necks import *  # noqa: F403
from .necks import __all__ as _necks
from .token_merging import *  # noqa: F403
from .token_merging import __all__ as _token_merging

__all__ = [
    *_adapters,
    *_backbones,
    *_distillation,
    *_low_rank,
    *_multimodal,
    *_necks,
    *_token_merging,
]

try:
    require('mmseg')
    from .decode_heads import Trans2SegHead
except (ImportError, AssertionError) as error:
    # Without mmseg there is no decode head. mmseg asserts the release of mmcv.
    if not isinstance(error.__cause__, ModuleNotFoundError):
        print_log(
            f'mmvlfusion.Trans2SegHead is not available: {error}',
            level=logging.WARNING,
        )
else:
    __all__ += ['Trans2SegHead']
