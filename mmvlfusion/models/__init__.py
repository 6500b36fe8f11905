from .backbones import TNT

__all__ = ['TNT']
