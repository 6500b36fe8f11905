from .builder import LowRank, PELASwinTransformer, PELAVisionTransformer
from .compression import LowRankReport, compress_, merge_
from .distiller import PELADistiller
from .linear import LowRankLinear, factorize

__all__ = [
    'LowRank', 'LowRankLinear', 'LowRankReport', 'PELADistiller',
    'PELASwinTransformer', 'PELAVisionTransformer', 'compress_', 'factorize',
    'merge_'
]
