"""Linear layers within a model: their names, their selection and their exchange."""

import inspect
import re
from functools import lru_cache
from typing import Dict, FrozenSet, Iterable, Optional, Set

import torch.nn as nn
from mmcv.cnn.bricks.wrappers import Conv2d as MMCVConv2d
from mmcv.cnn.bricks.wrappers import Linear as MMCVLinear

# Subclasses of nn.Linear with another forward pass are not replaced.
LINEAR_FORWARDS = (nn.Linear.forward, MMCVLinear.forward)
CONV_FORWARDS = (nn.Conv2d.forward, MMCVConv2d.forward)
NUM_NAMES_SHOWN = 6


def is_packed_attention(module: nn.Module) -> bool:
    """Check whether a module is an attention with one packed projection.

    Args:
        module (nn.Module): The module.

    Returns:
        bool: True for ``nn.MultiheadAttention`` itself with one width for
        query, key and value, without ``add_bias_kv`` and ``add_zero_attn``.
    """
    return (
        type(module) is nn.MultiheadAttention
        and module._qkv_same_embed_dim
        and module.bias_k is None
        and not module.add_zero_attn
    )


def packed_projection(module: nn.MultiheadAttention) -> nn.Linear:
    """Get the packed projection of query, key and value as a linear layer.

    Args:
        module (nn.MultiheadAttention): The attention.

    Returns:
        nn.Linear: A layer without bias whose weight is the module's.
    """
    out_features, in_features = module.in_proj_weight.shape
    linear = nn.Linear(in_features, out_features, False, device='meta')
    linear.weight = module.in_proj_weight
    return linear


def packed_attention(model: nn.Module, name: str) -> Optional[nn.MultiheadAttention]:
    """Find the attention to which a packed projection belongs.

    Args:
        model (nn.Module): The model.
        name (str): Name of a layer, as ``linear_layers`` lists it.

    Returns:
        nn.MultiheadAttention | None: The attention, or None if the name is
        not that of a packed projection.
    """
    parent, _, child = name.rpartition('.')
    module = model.get_submodule(parent)
    packed = child == 'in_proj' and isinstance(module, nn.MultiheadAttention)
    return module if packed else None


def is_pointwise_convolution(module: nn.Module) -> bool:
    """Check whether a module is a linear layer of each pixel.

    Args:
        module (nn.Module): The module.

    Returns:
        bool: True for a 1 x 1 convolution without padding whose groups have
        more than one channel.
    """
    return (
        isinstance(module, nn.Conv2d)
        and type(module).forward in CONV_FORWARDS
        and module.kernel_size == (1, 1)
        and module.padding in ((0, 0), 'valid', 'same')
        and module.groups < min(module.in_channels, module.out_channels)
    )


def linear_layers(
    module: nn.Module, convolutions: bool = False
) -> Dict[str, nn.Module]:
    """Find the linear layers whose weight can be replaced.

    The packed projection of an ``nn.MultiheadAttention`` is listed as
    ``in_proj``. A layer with several names is listed under the first; one
    whose weight is tied to another module's, or computed, is not listed.

    Args:
        module (nn.Module): The model.
        convolutions (bool): Whether to list 1 x 1 convolutions, grouped ones too.
            Depthwise ones have no matrix to factorise. Defaults to False.

    Returns:
        dict[str, nn.Linear | nn.Conv2d]: The layers by name.
    """
    owners: Dict[int, set] = {}
    for child in module.modules():
        for parameter in child._parameters.values():
            owners.setdefault(id(parameter), set()).add(id(child))
    layers = {}
    for name, child in module.named_modules():
        if is_packed_attention(child):
            prefix = f'{name}.' if name else ''
            layers[f'{prefix}in_proj'] = packed_projection(child)
        elif (
            type(child).forward in LINEAR_FORWARDS
            or (convolutions and is_pointwise_convolution(child))
        ) and len(owners.get(id(child.weight), ())) == 1:
            layers[name] = child
    return layers


@lru_cache(maxsize=None)
def _weights_in_forward(kind: type) -> FrozenSet[str]:
    """Names of the children whose weight the forward pass of a class reads.

    Attributes of a weight, such as its type, are not counted.
    """
    if kind.__module__.startswith('torch.'):
        return frozenset()
    try:
        source = inspect.getsource(kind.forward)  # type: ignore[attr-defined]
    except (OSError, TypeError):
        return frozenset()
    return frozenset(
        re.findall(r'\bself\.(\w+)\.weight\b(?!\.(?:dtype|device|shape)\b)', source)
    )


def computed_weights(module: nn.Module) -> Set[str]:
    """Find the layers that are not called, but whose weight is read.

    An example is ``qkv`` in the attention of BEiT and Swin V2. A low-rank layer
    would compute its dense weight in each forward pass, which is slower than the
    dense layer.

    Args:
        module (nn.Module): The model.

    Returns:
        set[str]: Names of the layers.
    """
    return {
        f'{name}.{child}' if name else child
        for name, parent in module.named_modules()
        for child in _weights_in_forward(parent.__class__)
    }


def exchange_(module: nn.Module, new: Dict[nn.Module, nn.Module]) -> None:
    """Exchange modules within a model for others, under all their names.

    Modules within an exchanged module are left unchanged.

    Args:
        module (nn.Module): The model, changed in place.
        new (dict[nn.Module, nn.Module]): The new module by the old one.
    """
    for name, child in list(module._modules.items()):
        if child in new:
            setattr(module, name, new[child])
        elif child is not None:
            exchange_(child, new)


def shorten(names: Iterable[str]) -> str:
    """Join names for a message, the first few only.

    Args:
        names (Iterable[str]): The names.

    Returns:
        str: The names, and how many more there are.
    """
    names = list(names)
    more = len(names) - NUM_NAMES_SHOWN
    text = ', '.join(names[:NUM_NAMES_SHOWN])
    return f'{text} and {more} more' if more > 0 else text
