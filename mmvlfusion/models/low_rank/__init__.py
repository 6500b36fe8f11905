from .builder import (
    build_low_rank,
    build_pela_swin_transformer,
    build_pela_vision_transformer,
)
from .compression import LowRankReport, compress_, merge_
from .distiller import PELADistiller
from .linear import LowRankLinear, factorize
from .perturbation import WeightPerturbationLoss

__all__ = [
    'LowRankLinear',
    'LowRankReport',
    'PELADistiller',
    'WeightPerturbationLoss',
    'build_low_rank',
    'build_pela_swin_transformer',
    'build_pela_vision_transformer',
    'compress_',
    'factorize',
    'merge_',
]
