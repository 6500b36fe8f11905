from .backbones import *  # noqa: F401,F403
from .backbones import __all__ as backbones

__all__ = [*backbones]
