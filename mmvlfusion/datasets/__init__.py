from .transforms import LoadImage

__all__ = ['LoadImage']
