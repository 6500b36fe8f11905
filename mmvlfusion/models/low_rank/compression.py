"""Low-rank layers in the place of linear ones, and back."""
import re
from contextlib import contextmanager
from typing import (Any, Callable, Dict, Iterable, Iterator, List, NamedTuple,
                    Optional, Tuple, Union)

import torch
import torch.nn as nn
from mmcv.cnn.bricks.wrappers import Linear as MMCVLinear

from .allocation import budget_ranks, input_covariances
from .attention import LowRankMultiheadAttention
from .linear import LowRankLinear, paper_rank
from .presets import EXCLUDE, resolve

# Subclasses that calculate something else are no linear layers for us.
_FORWARDS = (nn.Linear.forward, MMCVLinear.forward)


class LowRankReport(NamedTuple):
    """What became of one layer; ``error`` is the Frobenius norm of the change
    over that of the weight."""
    name: str
    out_features: int
    in_features: int
    rank: int
    error: float


def linear_layers(module: nn.Module) -> Dict[str, nn.Linear]:
    """The linear layers that could become low-rank ones, by name.

    The packed projection of an ``nn.MultiheadAttention`` is listed as
    ``in_proj``. A layer under several names has its first; one whose weight
    is tied to another module's, or calculated, is not listed.
    """
    owners: Dict[int, set] = {}
    for child in module.modules():
        for parameter in child._parameters.values():
            owners.setdefault(id(parameter), set()).add(id(child))
    layers = {}
    for name, child in module.named_modules():
        if LowRankMultiheadAttention.accepts(child):
            prefix = f'{name}.' if name else ''
            layers[f'{prefix}in_proj'] = \
                LowRankMultiheadAttention.packed_projection(child)
        elif isinstance(child, nn.Linear) and (
                type(child).forward in _FORWARDS) and (
                    len(owners.get(id(child.weight), ())) == 1):
            layers[name] = child
    return layers


def chosen_layers(module: nn.Module, exclude: Union[str, Iterable[str]],
                  min_features: int) -> Dict[str, nn.Linear]:
    """The linear layers that ``exclude`` and ``min_features`` leave.

    Raises:
        ValueError: If a pattern matches no layer, or no layer is left.
    """
    layers = linear_layers(module)
    patterns = resolve(exclude, EXCLUDE, 'exclude')
    if not isinstance(exclude, str):  # A preset serves models of all shapes.
        for pattern in patterns:
            if not any(re.search(pattern, name) for name in layers):
                raise ValueError(
                    f'exclude has {pattern!r}, which matches no linear layer. '
                    f'There are {_some(layers)}.')
    chosen = {
        name: layer
        for name, layer in layers.items()
        if layer.out_features >= min_features
        and not any(re.search(pattern, name) for pattern in patterns)
    }
    if not chosen:
        raise ValueError(
            f'Nothing is left to compress in {type(module).__name__}: of its '
            f'{len(layers)} linear layers ({_some(layers)}), '
            f'exclude={list(patterns)} and min_features={min_features} keep '
            'all whole.')
    return chosen


def uniform_ranks(layers: Dict[str, nn.Linear], ratio: float,
                  rank_multiple: int) -> Dict[str, int]:
    """The paper's rank for each layer, down to a multiple.

    Raises:
        ValueError: If the ratio saves nothing or leaves a layer no rank.
    """
    if ratio <= 1:
        raise ValueError(f'ratio={ratio} saves nothing: it is the number of '
                         'parameters before over that after, so choose one '
                         'above 1.')
    if rank_multiple < 1:
        raise ValueError(f'rank_multiple={rank_multiple} must be at least 1.')
    ranks = {}
    for name, layer in layers.items():
        rank = paper_rank(layer.in_features, layer.out_features, ratio)
        ranks[name] = rank - rank % rank_multiple
        if not ranks[name]:
            raise ValueError(
                f'ratio={ratio} leaves {name} ({layer.out_features} x '
                f'{layer.in_features}) rank {rank}, and '
                f'rank_multiple={rank_multiple} makes it 0: lower them, or '
                f'keep the layer whole with exclude or min_features.')
    return ranks


def replace_(
    module: nn.Module,
    ranks: Dict[str, int],
    factor: Callable[[str, nn.Linear, int], LowRankLinear],
    progress: Callable[[list], Iterable] = iter,
) -> None:
    """Put low-rank layers in the place of named linear ones.

    Args:
        module (nn.Module): Changed in place. Shared layers stay shared.
        ranks (dict[str, int]): Rank by name of the layer.
        factor (Callable): Makes the low-rank layer of a name, the dense layer
            and the rank.
        progress (Callable): Wrapped around the names as they are worked on.

    Raises:
        ValueError: If there is no linear layer of a name.
    """
    layers = linear_layers(module)
    missing = sorted(set(ranks) - set(layers))
    if missing:
        raise ValueError(f'ranks has {_some(missing)}, but the linear layers '
                         f'are {_some(layers)}.')
    if '' in ranks:
        raise ValueError('A single linear layer cannot be replaced in itself: '
                         'use LowRankLinear.from_linear.')
    exchange = {}
    for name in progress(list(ranks)):
        new = factor(name, layers[name], ranks[name])
        attention = LowRankMultiheadAttention.owner(module, name)
        if attention is not None:
            LowRankMultiheadAttention.convert_(attention, new)
        else:
            exchange[layers[name]] = new
    exchange_(module, exchange)


def exchange_(module: nn.Module, exchange: Dict[nn.Module, nn.Module]) -> None:
    """Put other modules in the place of some, wherever they stand."""
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child in exchange:
                parent._modules[name] = exchange[child]


def compress_(
    module: nn.Module,
    ratio: float = 2.,
    exclude: Union[str, Iterable[str]] = (),
    min_features: int = 10,
    rank_multiple: int = 1,
    calibration: Optional[Iterable[Any]] = None,
    allocation: str = 'uniform',
    progress: Callable[[list], Iterable] = iter,
) -> List[LowRankReport]:
    """Replace the linear layers of a module by low-rank ones, in place.

    Convolutions, embeddings and norms stay as they are, and so do layers whose
    weight is tied to another module's. ``nn.MultiheadAttention`` is compressed
    within. ``init_weights``, which the hosts call before training, leaves
    the factors alone from here on.

    Args:
        module (nn.Module): Any model.
        ratio (float): Parameters of a layer before over after; the ranks are
            the paper's, floor(in * out / (ratio * (in + out))). Defaults to 2.
        exclude (str | Iterable[str]): The layers that stay whole: the name of
            a preset (``'vit'``, ``'swin'``, ``'swin_without_proj'``,
            ``'tnt'``, ``'bert'``), or regular expressions that are searched
            for in the layers' names. Defaults to none.
        min_features (int): Layers with fewer outputs stay whole. Defaults
            to 10.
        rank_multiple (int): Ranks are rounded down to a multiple of this.
            Defaults to 1.
        calibration (Iterable, optional): A few batches as the module takes
            them (``test_step`` of a host's model, else a call). The factors
            then keep the layers' outputs on them, instead of the weights.
            Defaults to None.
        allocation (str): ``'uniform'``, the paper's rank for every layer, or
            ``'budget'``, ranks that share the same total by what each
            explains. Defaults to ``'uniform'``.
        progress (Callable): Wrapped around the names as they are worked on,
            such as ``mmengine.track_iter_progress``.

    Returns:
        list[LowRankReport]: One for each layer that was replaced.

    Raises:
        ValueError: If the ratio saves nothing or leaves a layer no rank, a
            pattern matches no layer, or nothing is left to compress.
    """
    layers = chosen_layers(module, exclude, min_features)
    ranks = uniform_ranks(layers, ratio, rank_multiple)
    covariances = {} if calibration is None else input_covariances(
        module, layers, calibration)
    if allocation == 'budget':
        ranks = budget_ranks(layers, ratio, rank_multiple, covariances)
    elif allocation != 'uniform':
        raise ValueError(f"allocation={allocation!r} is neither 'uniform' nor "
                         "'budget'.")
    reports = []

    def factor(name: str, linear: nn.Linear, rank: int) -> LowRankLinear:
        layer = LowRankLinear.from_linear(linear, rank, covariances.get(name))
        with torch.no_grad():
            error = (layer.weight - linear.weight).norm() / \
                linear.weight.norm().clamp_min(1e-12)
        reports.append(
            LowRankReport(name, layer.out_features, layer.in_features, rank,
                          error.item()))
        return layer

    replace_(module, ranks, factor, progress)
    if hasattr(module, 'init_weights'):
        module.init_weights = _keep_weights
    return reports


def merge_(module: nn.Module) -> None:
    """Replace all low-rank layers by dense ones of the same function, in
    place."""
    exchange = {
        layer: layer.to_linear()
        for layer in module.modules() if isinstance(layer, LowRankLinear)
    }
    for attention in list(module.modules()):
        if isinstance(attention, LowRankMultiheadAttention):
            dense = exchange.pop(attention.in_proj)
            attention.restore_(dense.weight)
    exchange_(module, exchange)
    for child in module.modules():
        child.__dict__.pop('init_weights', None)


@contextmanager
def dense_stand_ins(module: nn.Module) -> Iterator[None]:
    """Within it, new dense layers stand for the low-rank ones, so that a host
    may initialise them; at its end the low-rank layers return with the factors
    of those weights. They are the same parameters before and after."""
    layers = {
        layer: layer.to_linear()
        for layer in module.modules() if isinstance(layer, LowRankLinear)
    }
    packed: List[Tuple[nn.MultiheadAttention, LowRankLinear]] = []
    for linear in layers.values():
        nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
    for attention in module.modules():
        if isinstance(attention, LowRankMultiheadAttention):
            packed.append((attention, attention.in_proj))
    for attention, in_proj in packed:
        weight = layers.pop(in_proj).weight
        attention.restore_(nn.init.xavier_uniform_(weight))
    exchange_(module, layers)
    try:
        yield
    finally:
        exchange_(module, {linear: layer for layer, linear in layers.items()})
        for layer, linear in layers.items():
            layer.set_weight(linear.weight)
        for attention, in_proj in packed:
            in_proj.set_weight(attention.in_proj_weight)
            LowRankMultiheadAttention.convert_(attention, in_proj)


def _keep_weights() -> None:
    """In the place of a host's ``init_weights``: the weights are there."""


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f' and {len(names) - 6} more' if len(names) > 6 else ''
    return ', '.join(names[:6]) + more
