"""Separate projections of one input that are packed into one linear layer.

One factor ``down`` then serves query, key and value (QSVD): r (d + 3d) parameters
instead of 6 r d.
"""

from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
import torch.nn as nn

from .calibration import InputStatistics, matrices
from .linear import decompose
from .ranks import paper_rank

# Names of the projections of an attention in transformers, timm and diffusers.
FAMILIES = (
    ('query', 'key', 'value'),
    ('q_proj', 'k_proj', 'v_proj'),
    ('q_lin', 'k_lin', 'v_lin'),
    ('to_q', 'to_k', 'to_v'),
    ('q', 'k', 'v'),
)
SEPARATOR = '+'


class PackedPart(nn.Module):
    """One of the projections of a packed linear layer.

    The packed layer is a child of the attention. Its result is kept until each
    projection has been called with the same input.

    Args:
        parent (nn.Module): The attention.
        names (tuple[str]): Names of the projections; the packed layer's name joins
            them.
        index (int): Which of them this is.
    """

    def __init__(self, parent: nn.Module, names: Tuple[str, ...], index: int) -> None:
        super().__init__()
        # A tuple hides the parent from the modules below.
        self._parent = (parent,)
        self._names, self._index = names, index

    @property
    def packed(self) -> nn.Module:
        """nn.Module: The packed layer."""
        return self._parent[0]._modules[SEPARATOR.join(self._names)]

    @property
    def weight(self) -> torch.Tensor:
        """torch.Tensor: The weight of this projection, (out, in)."""
        return self.packed.weight.chunk(len(self._names))[self._index]

    @property
    def bias(self) -> Optional[torch.Tensor]:
        """torch.Tensor | None: The bias of this projection, (out,)."""
        bias = self.packed.bias
        return None if bias is None else bias.chunk(len(self._names))[self._index]

    @property
    def in_features(self) -> int:
        """int: Channels of the input."""
        return self.packed.in_features

    @property
    def out_features(self) -> int:
        """int: Channels of the output."""
        return self.packed.out_features // len(self._names)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the projection.

        Args:
            x (torch.Tensor): Shape (..., in).

        Returns:
            torch.Tensor: Shape (..., out).
        """
        parent = self._parent[0]
        kept = parent.__dict__.pop('_packed_result', None)
        if kept is None or kept[0] is not x or self._index not in kept[1]:
            kept = (x, dict(enumerate(self.packed(x).chunk(len(self._names), -1))))
        result = kept[1].pop(self._index)
        if kept[1]:
            parent.__dict__['_packed_result'] = kept
        return result


def same_input_groups(
    layers: Dict[str, nn.Module], inputs: Dict[str, Any]
) -> List[Tuple[str, Tuple[str, ...]]]:
    """Find projections of one attention that have the same input.

    Args:
        layers (dict[str, nn.Module]): The layers by name.
        inputs (dict[str, Any]): Identity of the input of each layer's last call.

    Returns:
        list[tuple[str, tuple[str]]]: Names of the attention and of its projections.
    """
    groups = []
    parents = dict.fromkeys(name.rpartition('.')[0] for name in layers)
    for parent in parents:
        prefix = f'{parent}.' if parent else ''
        for family in FAMILIES:
            members = [
                x
                for x in family
                if type(layers.get(prefix + x)) is nn.Linear
                and inputs.get(prefix + x) is not None
                and inputs[prefix + x] == inputs.get(prefix + family[-1])
            ]
            linears = [layers[prefix + x] for x in members]
            kinds = {(x.weight.shape, x.bias is None) for x in linears}
            if len(members) > 1 and len(kinds) == 1:
                groups.append((parent, tuple(members)))
    return groups


def saves(
    linears: List[nn.Linear], ratio: float, statistics: Optional[InputStatistics]
) -> bool:
    """Check whether one pair of factors has a smaller error than one for each.

    Args:
        linears (list[nn.Linear]): The projections.
        ratio (float): Parameters before over after, the same for both.
        statistics (InputStatistics, optional): Those of their input.

    Returns:
        bool: Whether the joint factors are better.
    """
    covariance = None if statistics is None else statistics.covariance()[0]
    out_features, in_features = linears[0].weight.shape
    rank = paper_rank(in_features, out_features, ratio)
    weights = [matrices(linear)[0] for linear in linears]
    separate = sum(
        decompose(weight, covariance).energies[rank:].sum() for weight in weights
    )
    rank = paper_rank(in_features, out_features * len(linears), ratio)
    joint = decompose(torch.cat(weights), covariance).energies[rank:].sum()
    return bool(joint < separate)


def pack_(module: nn.Module, parent: str, names: Tuple[str, ...]) -> None:
    """Pack projections into one linear layer, in place.

    State dicts with the separate weights are still loaded.

    Args:
        module (nn.Module): The model.
        parent (str): Name of the attention.
        names (tuple[str]): Names of its projections.

    Raises:
        ValueError: If they are not linear layers of one shape.
    """
    attention = module.get_submodule(parent)
    linears = [attention._modules.get(name) for name in names]
    if not all(isinstance(linear, nn.Linear) for linear in linears):
        raise ValueError(
            f'ranks has {parent}.{SEPARATOR.join(names)}, but {parent} '
            f'({type(attention).__name__}) has no linear layers of these names.'
        )
    out_features, in_features = linears[0].weight.shape
    packed = nn.Linear(
        in_features,
        out_features * len(names),
        linears[0].bias is not None,
        linears[0].weight.device,
        linears[0].weight.dtype,
    )
    with torch.no_grad():
        packed.weight.copy_(torch.cat([linear.weight for linear in linears]))
        packed.weight.requires_grad_(linears[0].weight.requires_grad)
        if packed.bias is not None:
            packed.bias.copy_(torch.cat([linear.bias for linear in linears]))
            packed.bias.requires_grad_(linears[0].bias.requires_grad)
    attention.add_module(SEPARATOR.join(names), packed.train(attention.training))
    for index, name in enumerate(names):
        setattr(attention, name, PackedPart(attention, names, index))
    attention._register_load_state_dict_pre_hook(partial(_pack_state, names))


def _pack_state(names: Tuple[str, ...], state_dict: dict, prefix: str, *_: Any) -> None:
    """Replace separate weights in a state dict by packed ones, in place."""
    for kind in ('weight', 'bias'):
        keys = [f'{prefix}{name}.{kind}' for name in names]
        if all(key in state_dict for key in keys):
            parts = [state_dict.pop(key) for key in keys]
            packed = f'{prefix}{SEPARATOR.join(names)}.{kind}'
            state_dict[packed] = torch.cat(parts)


def pack_ranks_(module: nn.Module, ranks: Dict[str, int]) -> None:
    """Pack the projections that the names of ranks join, in place.

    Args:
        module (nn.Module): The model.
        ranks (dict[str, int]): The rank by name of the layer.
    """
    present = dict(module.named_modules())
    for name in ranks:
        if SEPARATOR in name and name not in present:
            parent, _, names = name.rpartition('.')
            pack_(module, parent, tuple(names.split(SEPARATOR)))


def unpack_(module: nn.Module) -> None:
    """Replace packed linear layers by separate ones, in place.

    Low-rank ones remain packed.

    Args:
        module (nn.Module): The model.
    """
    for attention, packed in list(_packed_layers(module)):
        if not isinstance(attention._modules[packed], nn.Linear):
            continue
        linear = attention._modules.pop(packed)
        names = packed.split(SEPARATOR)
        biases: Any = [None] * len(names)
        if linear.bias is not None:
            biases = linear.bias.detach().chunk(len(names))
        rows = linear.weight.detach().chunk(len(names))
        for name, weight, bias in zip(names, rows, biases):
            part = nn.Linear(*reversed(weight.shape), bias is not None, device='meta')
            part.weight = nn.Parameter(weight.clone(), linear.weight.requires_grad)
            if bias is not None:
                part.bias = nn.Parameter(bias.clone(), linear.bias.requires_grad)
            setattr(attention, name, part.train(linear.training))
        hooks = attention._load_state_dict_pre_hooks
        for key in [k for k, hook in hooks.items() if _is_packing(hook)]:
            del hooks[key]


def _is_packing(hook: Any) -> bool:
    hook = getattr(hook, 'hook', hook)
    return isinstance(hook, partial) and hook.func is _pack_state


def _packed_layers(module: nn.Module) -> Iterator[Tuple[nn.Module, str]]:
    for attention in module.modules():
        for name, child in attention._modules.items():
            if SEPARATOR in name and child is not None:
                yield attention, name
