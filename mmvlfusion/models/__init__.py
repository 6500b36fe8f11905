from .backbones import *  # noqa: F403
from .backbones import __all__ as _backbones
from .low_rank import *  # noqa: F403
from .low_rank import __all__ as _low_rank
from .multimodal import *  # noqa: F403
from .multimodal import __all__ as _multimodal
from .necks import *  # noqa: F403
from .necks import __all__ as _necks

__all__ = [*_backbones, *_low_rank, *_multimodal, *_necks]

try:
    from .decode_heads import Trans2SegHead
except ModuleNotFoundError as error:
    # Decode heads need mmseg.
    if error.name != 'mmseg':
        raise
else:
    __all__ += ['Trans2SegHead']
