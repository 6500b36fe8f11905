"""Exchange of dense and low-rank layers within a model."""

from contextlib import contextmanager
from typing import Callable, Dict, Iterable, Iterator, Union

import torch.nn as nn
from mmengine.logging import print_log

from mmvlfusion.utils.checks import check_number

from ..utils import (
    EXCLUDE,
    check_matches,
    computed_weights,
    exchange_,
    linear_layers,
    matches,
    packed_attention,
    resolve,
    shorten,
)
from .attention import LowRankMultiheadAttention
from .convolution import LowRankConv2d
from .linear import LowRankLinear


def select_layers(
    module: nn.Module,
    exclude: Union[str, Iterable[str]],
    min_features: int,
    convolutions: bool = False,
) -> Dict[str, nn.Module]:
    """Select the linear layers to replace.

    Layers of ``computed_weights`` stay dense and are reported in the log.

    Args:
        module (nn.Module): The model.
        exclude (str | Iterable[str]): Layers that stay dense: name of a preset,
            or a list of names of presets and of regular expressions.
        min_features (int): Layers with fewer outputs stay dense.
        convolutions (bool): Whether to select 1 x 1 convolutions as well.
            Defaults to False.

    Returns:
        dict[str, nn.Linear | nn.Conv2d]: The layers by name.

    Raises:
        ValueError: If a pattern matches no layer, or no layer remains.
    """
    check_number('min_features', min_features, 0, integer=True)
    layers = linear_layers(module, convolutions)
    patterns = resolve(exclude, EXCLUDE, 'exclude')
    check_matches(exclude, EXCLUDE, layers, 'exclude')
    selected = {
        name: layer
        for name, layer in layers.items()
        if layer.weight.shape[0] >= min_features and not matches(patterns, name)
    }
    computed = computed_weights(module) & set(selected)
    if computed:
        print_log(
            f'{len(computed)} layers stay dense, since their attention reads the '
            'weight instead of calling the layer: '
            f'{shorten(name for name in selected if name in computed)}.'
        )
        selected = {k: v for k, v in selected.items() if k not in computed}
    if not selected:
        raise ValueError(_nothing_to_compress(module, layers, patterns, min_features))
    return selected


def _nothing_to_compress(
    module: nn.Module,
    layers: Dict[str, nn.Linear],
    patterns: Iterable[str],
    min_features: int,
) -> str:
    """The message that a model has no layer to compress, with the reason."""
    if any(isinstance(child, LowRankLinear) for child in module.modules()):
        reason = (
            'it has low-rank layers already. Merge them first (merge_, or '
            'tools/compress.py --merge) to compress it with other settings'
        )
    elif not layers:
        reason = (
            'it has no linear layer and no nn.MultiheadAttention. Convolutions '
            'are not compressed, except those of 1 x 1 with convolutions=True '
            '(--convolutions)'
        )
    else:
        reason = (
            f'of its {len(layers)} linear layers ({shorten(layers)}), '
            f'exclude={list(patterns)} and min_features={min_features} keep all '
            'dense'
        )
    return f'{type(module).__name__} has no layer to compress: {reason}.'


def replace_(
    module: nn.Module,
    ranks: Dict[str, int],
    factor: Callable[[str, nn.Module, int], LowRankLinear],
    progress: Callable[[list], Iterable] = iter,
) -> None:
    """Replace linear layers by low-rank ones, in place.

    Args:
        module (nn.Module): The model. Shared layers stay shared.
        ranks (dict[str, int]): The rank by name of the layer.
        factor (Callable): Makes the low-rank layer, from the name, the dense
            layer and the rank.
        progress (Callable): Wraps the list of names, such as a progress bar.

    Raises:
        ValueError: If a name is not that of a linear layer, or the module is
            itself one.
    """
    if not isinstance(ranks, dict):
        raise ValueError(f'ranks={ranks!r} must be a dict of the rank by layer.')
    for name, rank in ranks.items():
        check_number(f'ranks[{name!r}]', rank, 1, integer=True)
    layers = linear_layers(module, convolutions=True)
    missing = sorted(set(ranks) - set(layers))
    if missing:
        raise ValueError(
            f'ranks has {shorten(missing)}, but the linear '
            f'layers are {shorten(layers)}.'
        )
    if any(name in ('', 'in_proj') for name in ranks):
        raise ValueError(
            f'{type(module).__name__} is a layer itself, which cannot be '
            'replaced in place: use LowRankLinear.from_linear or '
            'LowRankMultiheadAttention.'
        )
    new: Dict[nn.Module, nn.Module] = {}
    attentions = {}
    for name in progress(list(ranks)):
        low_rank = factor(name, layers[name], ranks[name])
        attention = packed_attention(module, name)
        if attention is None:
            new[layers[name]] = low_rank
        else:
            attentions[attention] = low_rank
    exchange_(module, new)
    exchange_(
        module,
        {
            attention: LowRankMultiheadAttention(attention, in_proj)
            for attention, in_proj in attentions.items()
        },
    )


def dense_layers_of(module: nn.Module) -> Dict[nn.Module, nn.Module]:
    """Make dense layers with the weights of the low-rank ones.

    Args:
        module (nn.Module): The model, which is not changed.

    Returns:
        dict[nn.Module, nn.Module]: The dense layer by the low-rank one; linear
        layers that belong to an attention come with it as well.
    """
    dense: Dict[nn.Module, nn.Module] = {}
    for child in module.modules():
        if isinstance(child, LowRankLinear):
            dense[child] = child.to_dense()
    for child in module.modules():
        if isinstance(child, LowRankMultiheadAttention):
            in_proj = dense.pop(child.in_proj)
            out_proj = dense.get(child.out_proj, child.out_proj)
            dense[child] = child.to_dense(in_proj.weight, out_proj)
    return dense


@contextmanager
def initialized_dense(module: nn.Module) -> Iterator[None]:
    """Swap low-rank layers for dense ones while a host initialises weights.

    On exit the dense weights are factorised into the original parameters. Dense
    layers start as PyTorch initialises them.

    Args:
        module (nn.Module): The model.
    """
    dense = dense_layers_of(module)
    for layer in dense.values():
        if isinstance(layer, nn.MultiheadAttention):
            nn.init.xavier_uniform_(layer.in_proj_weight)
        else:
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
    exchange_(module, dense)
    try:
        yield
    finally:
        exchange_(module, {new: old for old, new in dense.items()})
        for old, new in dense.items():
            if isinstance(old, LowRankMultiheadAttention):
                old.in_proj.set_weight(new.in_proj_weight)
            else:
                old.set_weight(new.weight)


def low_rank_layer(layer: nn.Module, rank: int, empty: bool = False) -> LowRankLinear:
    """Make the low-rank version of a layer.

    Args:
        layer (nn.Linear | nn.Conv2d): The dense layer.
        rank (int): Rank of the weight.
        empty (bool): Whether to leave the factors random. Defaults to False.

    Returns:
        LowRankLinear: The layer.
    """
    if isinstance(layer, nn.Conv2d):
        return LowRankConv2d.from_conv(layer, rank, empty)
    return LowRankLinear.from_linear(layer, rank, empty)
