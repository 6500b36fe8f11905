"""Compression of any model by low-rank layers, and the way back."""

from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Union

import torch
import torch.nn as nn

from mmvlfusion.utils.checks import check_choice

from .calibration import input_covariances
from .linear import LowRankLinear
from .ranks import budget_ranks, uniform_ranks
from .surgery import dense_layers_of, exchange_, replace_, select_layers

ALLOCATIONS = ('uniform', 'budget')
MIN_NORM = 1e-12


class LowRankReport(NamedTuple):
    """Result of the compression of one layer.

    Attributes:
        name (str): Name of the layer.
        out_features (int): Channels of the output.
        in_features (int): Channels of the input.
        rank (int): Rank of the factors.
        error (float): Frobenius norm of the change of the weight, relative to
            that of the weight.
    """

    name: str
    out_features: int
    in_features: int
    rank: int
    error: float


def compress_(
    module: nn.Module,
    ratio: float = 2.0,
    exclude: Union[str, Iterable[str]] = (),
    min_features: int = 10,
    rank_multiple: int = 1,
    calibration: Optional[Iterable[Any]] = None,
    allocation: str = 'uniform',
    progress: Callable[[list], Iterable] = iter,
) -> List[LowRankReport]:
    """Replace the linear layers of a model by low-rank ones, in place.

    Convolutions, embeddings, norms and layers whose weight is tied to another
    module's are left unchanged. The projections of ``nn.MultiheadAttention``
    are replaced. Modules of mmengine are marked as initialised, so that a
    runner keeps the weights.

    Args:
        module (nn.Module): The model.
        ratio (float): Parameters of a layer before over after; the ranks are
            the paper's, floor(in * out / (ratio * (in + out))) (PELA, Section
            3.5). Defaults to 2.
        exclude (str | Iterable[str]): Layers that stay dense: the name of a
            preset (``'vit'``, ``'swin'``, ``'swin_without_proj'``, ``'tnt'``,
            ``'bert'``), or a list of names of presets and of regular
            expressions, which are searched for in the names of the layers.
            Defaults to none.
        min_features (int): Layers with fewer outputs stay dense. Defaults
            to 10.
        rank_multiple (int): Ranks are rounded down to a multiple of this.
            Defaults to 1.
        calibration (Iterable, optional): A few input batches of the model
            (for ``test_step`` of a host's model, else for a call). The
            factors then minimise the error of the layers' outputs on them,
            instead of that of the weights. Defaults to None.
        allocation (str): ``'uniform'``, the paper's rank of each layer, or
            ``'budget'``, ranks with the same total of parameters, distributed
            by the energy that they explain. Defaults to ``'uniform'``.
        progress (Callable): Wraps the list of names, such as
            ``mmengine.track_iter_progress``.

    Returns:
        list[LowRankReport]: One for each layer that was replaced.

    Raises:
        ValueError: If the ratio is not above 1 or gives a layer rank 0, a
            pattern matches no layer, or no layer remains to compress.
    """
    check_choice('allocation', allocation, ALLOCATIONS)
    layers = select_layers(module, exclude, min_features)
    ranks = uniform_ranks(layers, ratio, rank_multiple)
    covariances = {}
    if calibration is not None:
        covariances = input_covariances(module, layers, calibration)
    if allocation == 'budget':
        ranks = budget_ranks(layers, ratio, rank_multiple, covariances)
    reports = []

    def factor(name: str, linear: nn.Linear, rank: int) -> LowRankLinear:
        layer = LowRankLinear.from_linear(linear, rank, covariances.get(name))
        with torch.no_grad():
            error = (
                layer.weight - linear.weight
            ).norm() / linear.weight.norm().clamp_min(MIN_NORM)
        reports.append(
            LowRankReport(
                name, layer.out_features, layer.in_features, rank, error.item()
            )
        )
        return layer

    replace_(module, ranks, factor, progress)
    for child in module.modules():
        if hasattr(child, '_is_init'):  # A BaseModule of mmengine.
            child._is_init = True
    return reports


def merge_(module: nn.Module) -> None:
    """Replace all low-rank layers by dense ones of the same function, in place.

    Args:
        module (nn.Module): The model.
    """
    exchange_(module, dense_layers_of(module))
