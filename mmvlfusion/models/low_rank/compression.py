"""Compression of any model by low-rank layers, and the way back."""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Union

import numpy as np
import torch.nn as nn

from mmvlfusion.utils.checks import check_choice, check_number

from ..utils import exchange_
from .calibration import (
    InputStatistics,
    LayerCalls,
    features_of,
    input_statistics,
    matrices,
    trace,
)
from .fitting import Fit, fit, replace_fitted_
from .joint import pack_, same_input_groups, saves, unpack_
from .latency import LatencyTable
from .presets import tower_of
from .ranks import (
    Budget,
    Options,
    budget_ranks,
    make_options,
    parse_budgets,
    uniform_ranks,
)
from .sensitivity import feature_errors
from .sequential import calibrate_blocks_
from .surgery import dense_layers_of, select_layers

METHODS = ('svd', 'whiten', 'sequential')
SEARCHES = ('layers', 'features')
MIN_NORM = 1e-12
# Smallest energy that shares are computed from.
MIN_ENERGY = 1e-30
# Number of ranks of a layer that are measured for a budget of latency.
NUM_TIMED_RANKS = 24
# Memory of the statistics that one pass over the calibration data collects.
MAX_STATISTICS_BYTES = 2**30


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
    method: Optional[str] = None,
    budget: Union[str, List[str], None] = None,
    search: str = 'layers',
    features: Optional[str] = None,
    convolutions: bool = False,
    tuning: int = 0,
    joint: bool = False,
    progress: Callable[[list], Iterable] = iter,
) -> List[LowRankReport]:
    """Replace the linear layers of a model by low-rank ones, in place.

    Embeddings, norms and layers whose weight is tied to another module's are
    left unchanged. The projections of ``nn.MultiheadAttention`` are replaced.
    Modules of mmengine are marked as initialised, so that a runner keeps the
    weights.

    Args:
        module (nn.Module): The model.
        ratio (float): Parameters of a layer before over after; the ranks are
            the paper's, floor(in * out / (ratio * (in + out))) (PELA, Section
            3.5). Not used with ``budget``. Defaults to 2.
        exclude (str | Iterable[str]): Layers that stay dense: the name of a
            preset (``'vit'``, ``'swin'``, ``'swin_without_proj'``, ``'tnt'``,
            ``'bert'``), or a list of names of presets and of regular
            expressions, which are searched for in the names of the layers.
            Defaults to none.
        min_features (int): Layers with fewer outputs stay dense. Defaults
            to 10.
        rank_multiple (int): Ranks are multiples of this. Defaults to 1.
        calibration (Iterable, optional): A few input batches of the model
            (for ``test_step`` of a host's model, else for a call). Defaults to
            None.
        method (str, optional): ``'svd'``, the smallest error of the weights;
            ``'whiten'``, the smallest error of the layers' outputs on the
            calibration data; or ``'sequential'``, the smallest error against
            the dense model's outputs given the inputs of the compressed model,
            block by block. Defaults to ``'whiten'`` with ``calibration``, and
            to ``'svd'`` without.
        budget (str | list[str], optional): Limit of the selected layers instead
            of ``ratio``: ``'params=0.5'``, ``'macs=0.5'`` or
            ``'latency=0.6'`` as a part of the dense layers', or
            ``'error=0.1'``, the relative error of each layer's outputs. The
            ranks that meet it have the smallest sum of errors. A multimodal
            model can have one for each tower, such as ``['vision:error=0.1',
            'text:error=0.05']``; see ``TOWERS``. Defaults to None.
        search (str): What a budget minimises: ``'layers'``, the relative error
            of the layers' outputs; or ``'features'``, the measured error of the
            model's features, layer by layer (as in FLAR-SVD), which takes a few
            forward passes a layer. Defaults to ``'layers'``.
        features (str, optional): Name of the module whose outputs are the
            model's features. Defaults to ``'backbone'`` if there is one, else
            the model.
        convolutions (bool): Whether to replace 1 x 1 convolutions, grouped ones
            too. Defaults to False.
        tuning (int): Passes over the calibration data in which the factors of a
            block are tuned to give the outputs of the dense block, after its
            sequential calibration. Defaults to 0.
        joint (bool): Whether to pack separate projections of the same input, such
            as query, key and value of BERT, into one layer where its factors have a
            smaller error than separate ones of the same size. Defaults to False.
        progress (Callable): Wraps lists that take long, such as
            ``mmengine.track_iter_progress``.

    Returns:
        list[LowRankReport]: One for each layer that was replaced.

    Raises:
        ValueError: If the ratio is not above 1 or gives a layer rank 0, a
            pattern matches no layer, no layer remains to compress, the budget
            cannot be met, or calibration data that is needed is missing.
        RuntimeError: If the model fails on a calibration batch.
    """
    if method is None:
        method = 'svd' if calibration is None else 'whiten'
    check_choice('method', method, METHODS)
    check_choice('search', search, SEARCHES)
    check_number('tuning', tuning, 0, integer=True)
    check_number('rank_multiple', rank_multiple, 1, integer=True)
    if tuning and method != 'sequential':
        raise ValueError(f"tuning={tuning} needs method='sequential', not {method!r}.")
    budgets = parse_budgets(budget)
    layers = select_layers(module, exclude, min_features, convolutions)
    ranks = uniform_ranks(layers, ratio, rank_multiple) if not budgets else {}
    _check_calibration(calibration, method, budgets, search, joint)
    batches = [] if calibration is None else list(calibration)
    calls = {} if calibration is None else trace(module, layers, batches)
    if joint:
        _pack_where_smaller_(module, layers, calls, batches, method, budgets, ratio)
        packed = select_layers(module, exclude, min_features, convolutions)
        if len(packed) < len(layers):
            layers = packed
            ranks = uniform_ranks(layers, ratio, rank_multiple) if not budgets else {}
            calls = trace(module, layers, batches)
    fits: Dict[str, Fit] = {}
    if budgets or method != 'sequential':
        fits = _fit_all(module, layers, batches if method != 'svd' else [], progress)
    if budgets:
        table = LatencyTable()
        options = {
            name: _options(
                name, layer, fits[name], rank_multiple, budgets, calls, table
            )
            for name, layer in layers.items()
        }
        if search == 'features':
            options = feature_errors(
                module, layers, fits, options, batches, features, progress
            )
        ranks = budget_ranks(options, budgets)
        if not ranks:
            raise ValueError(
                f'budget={budget!r} leaves all {len(layers)} layers dense: no rank of '
                'theirs is cheaper within it. Set a larger error, or a smaller part of '
                'the cost.'
            )
    if method == 'sequential':
        calibrate_blocks_(
            module,
            layers,
            {name: call.calls for name, call in calls.items()},
            ranks,
            batches,
            tuning,
            progress,
        )
    else:
        replace_fitted_(module, fits, ranks)
    for child in module.modules():
        if hasattr(child, '_is_init'):  # A BaseModule of mmengine.
            child._is_init = True
    return [_report(name, layers[name], rank, module) for name, rank in ranks.items()]


def _check_calibration(
    calibration: Optional[Iterable[Any]],
    method: str,
    budgets: Dict[Optional[str], Budget],
    search: str,
    joint: bool,
) -> None:
    if calibration is not None:
        return
    if method != 'svd':
        reason = f'method={method!r} fits the factors to the inputs of the layers'
    elif search == 'features' and budgets:
        reason = "search='features' compares the features of the model"
    elif any(budget.kind in ('macs', 'latency') for budget in budgets.values()):
        reason = 'a budget of macs or latency depends on the inputs of each layer'
    elif joint:
        reason = 'joint=True packs layers that have the same input'
    else:
        return
    raise ValueError(
        f'{reason}: set calibration to a few input batches (--calibration N).'
    )


def _pack_where_smaller_(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    calls: Dict[str, LayerCalls],
    batches: List[Any],
    method: str,
    budgets: Dict[Optional[str], Budget],
    ratio: float,
) -> None:
    """Pack projections whose joint factors have the smaller error, in place."""
    parts = [b.value for b in budgets.values() if b.kind in ('params', 'macs')]
    ratio = 1 / min(parts) if parts else ratio
    groups = same_input_groups(layers, {k: call.input for k, call in calls.items()})
    paths = {f'{parent}.{names[0]}'.lstrip('.'): names for parent, names in groups}
    statistics: Dict[str, InputStatistics] = {}
    if method != 'svd':
        firsts = {path: layers[path] for path in paths}
        statistics = input_statistics(module, firsts, batches, of_inputs=True)
    for path, names in paths.items():
        parent = path.rpartition('.')[0]
        prefix = f'{parent}.' if parent else ''
        linears = [layers[prefix + name] for name in names]
        if saves(linears, ratio, statistics.get(path)):
            pack_(module, parent, names)


def _fit_all(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    batches: List[Any],
    progress: Callable[[list], Iterable],
) -> Dict[str, Fit]:
    """Decompose all layers; several passes over the data bound the memory."""
    fits: Dict[str, Fit] = {}
    part: Dict[str, nn.Module] = {}
    size = 0
    for i, (name, layer) in enumerate(layers.items()):
        part[name] = layer
        groups, *widths = matrices(layer).shape
        size += 8 * groups * min(widths) ** 2
        if size < MAX_STATISTICS_BYTES and i + 1 < len(layers):
            continue
        statistics = {}
        if batches:
            statistics = input_statistics(module, part, batches, progress)
        for key in progress(list(part)):
            fits[key] = fit(part[key], statistics.get(key))
        part, size = {}, 0
    return fits


def _options(
    name: str,
    layer: nn.Module,
    fit: Fit,
    rank_multiple: int,
    budgets: Dict[Optional[str], Budget],
    calls: Dict[str, LayerCalls],
    table: LatencyTable,
) -> Options:
    """The ranks of a layer with their costs and relative squared errors."""
    energies = fit.spectrum.energies.cpu().numpy()
    ranks = np.arange(rank_multiple, len(energies) + 1, rank_multiple)
    channels = sum(features_of(layer))
    size = layer.weight.numel()
    ranks = ranks[ranks * channels < size]
    budget = budgets.get(tower_of(name), budgets.get(None))
    if budget is None or (budget.kind in ('macs', 'latency') and name not in calls):
        ranks = ranks[:0]  # Dense: it has no budget, or it does not run.
    tails = np.append(np.cumsum(energies[::-1])[::-1], 0.0)
    errors = tails[ranks] / max(tails[0], MIN_ENERGY)
    if budget is not None and budget.kind == 'latency' and len(ranks):
        call = calls[name]
        places = np.linspace(0, len(ranks) - 1, NUM_TIMED_RANKS).round().astype(int)
        ranks, errors = ranks[np.unique(places)], errors[np.unique(places)]
        times = [table.time(layer, int(r), call.inputs) for r in (*ranks, 0)]
        costs = call.calls * np.array(times)
    else:
        unit = 1
        if budget is not None and budget.kind == 'macs' and name in calls:
            unit = calls[name].calls * calls[name].inputs
        costs = unit * np.append(ranks * channels, size)
    return make_options(ranks, costs[:-1], errors, costs[-1])


def _report(name: str, layer: nn.Module, rank: int, module: nn.Module) -> LowRankReport:
    """The report of a layer that was replaced."""
    out_features, in_features = features_of(layer)
    low_rank, dense = matrices(module.get_submodule(name)), matrices(layer)
    error = (low_rank - dense).norm() / dense.norm().clamp_min(MIN_NORM)
    return LowRankReport(name, out_features, in_features, rank, error.item())


def merge_(module: nn.Module) -> None:
    """Replace all low-rank layers by dense ones of the same function, in place.

    Args:
        module (nn.Module): The model.
    """
    exchange_(module, dense_layers_of(module))
    unpack_(module)
