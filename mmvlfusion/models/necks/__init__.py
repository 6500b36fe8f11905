from .plain_feature_pyramid import PlainFeaturePyramid

__all__ = ['PlainFeaturePyramid']
