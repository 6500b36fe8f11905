"""LoRA: low-rank updates of frozen linear layers."""

from typing import Dict, Iterable, Set, Union

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
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
    without_builders,
)
from .base import Adapter, build_adapted, release_base

# Layers that are adapted: all of the attention, as the names of the hosts are.
INCLUDE = dict(attention=('attn|attention',), all=('',))


class LoRALayer(Adapter):
    """Base of layers whose weight W (out, in) is updated by two trained factors.

    W + alpha / rank * up down.

    Args:
        weight (nn.Parameter): W, which is shared and frozen by the builder.
        rank (int): Rank of the update.
        alpha (float): Scale of the update.
    """

    def _add_factors(self, weight: nn.Parameter, rank: int, alpha: float) -> None:
        out_features, in_features = weight.shape
        self.scale = alpha / rank
        self.lora_down = nn.Parameter(weight.new_empty(rank, in_features))
        self.lora_up = nn.Parameter(weight.new_empty(out_features, rank))
        self.reset_adapter()

    def own_parameters(self) -> Iterable[nn.Parameter]:
        """Get the factors.

        Returns:
            Iterable[nn.Parameter]: ``lora_down`` and ``lora_up``.
        """
        return self.lora_down, self.lora_up

    def reset_adapter(self) -> None:
        """Draw ``lora_down`` as the weight of a new ``nn.Linear``, and set
        ``lora_up`` to zero, so that the model first is the base (LoRA, Section
        4.1)."""
        nn.init.kaiming_uniform_(self.lora_down, a=5**0.5)
        nn.init.zeros_(self.lora_up)

    def update(self) -> torch.Tensor:
        """Compute the update of the weight.

        Returns:
            torch.Tensor: Shape (out, in).
        """
        return self.scale * (self.lora_up @ self.lora_down)


class LoRALinear(LoRALayer, nn.Linear):
    """A linear layer with a low-rank update, computed next to the frozen layer.

    x -> W x + bias + alpha / rank * up down dropout(x).

    Args:
        linear (nn.Linear): The layer, whose parameters are shared.
        rank (int): Rank of the update.
        alpha (float): Scale of the update.
        dropout (float): Dropout of the input of the update.
    """

    def __init__(
        self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0
    ) -> None:
        nn.Module.__init__(self)
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self._parameters['weight'] = linear.weight
        self._parameters['bias'] = linear.bias
        self.dropout = nn.Dropout(dropout)
        self._add_factors(linear.weight, rank, alpha)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        Args:
            x (torch.Tensor): Shape (..., in).

        Returns:
            torch.Tensor: Shape (..., out).
        """
        reduced = F.linear(self.dropout(x), self.lora_down) * self.scale
        return F.linear(x, self.weight, self.bias) + F.linear(reduced, self.lora_up)

    def original(self) -> nn.Linear:
        """Get the frozen layer.

        Returns:
            nn.Linear: A layer that shares its parameters.
        """
        linear = nn.Linear(self.in_features, self.out_features, False, device='meta')
        linear._parameters['weight'] = self._parameters['weight']
        linear._parameters['bias'] = self._parameters['bias']
        return linear.train(self.training)

    def merged(self) -> nn.Linear:
        """Get a dense layer with the update in its weight.

        Returns:
            nn.Linear: The layer; the parameters are shared and changed.
        """
        linear = self.original()
        with torch.no_grad():
            linear.weight += self.update()
        return linear


class ReadLoRALinear(LoRALinear):
    """A linear layer whose weight a host reads instead of calling the layer.

    ``weight`` is computed at each reading, with the update. There is no dropout.
    """

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """torch.Tensor: The updated weight, (out, in)."""
        weight = self._parameters['weight']
        assert weight is not None
        return weight + self.update()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See ``LoRALinear.forward``."""
        return F.linear(x, self.weight, self.bias)


class LoRAMultiheadAttention(LoRALayer, nn.MultiheadAttention):
    """``nn.MultiheadAttention`` with an update of its packed projection.

    ``in_proj_weight`` is computed at each reading, with the update.

    Args:
        attention (nn.MultiheadAttention): The module, whose parameters are shared.
        rank (int): Rank of the update of the three projections together.
        alpha (float): Scale of the update.
    """

    def __init__(
        self, attention: nn.MultiheadAttention, rank: int, alpha: float
    ) -> None:
        nn.Module.__init__(self)
        _share(attention, self)
        self._add_factors(attention.in_proj_weight, rank, alpha)

    @property
    def in_proj_weight(self) -> torch.Tensor:  # type: ignore[override]
        """torch.Tensor: The updated weight, (3D, D)."""
        weight = self._parameters['in_proj_weight']
        assert weight is not None
        return weight + self.update()

    def original(self) -> nn.MultiheadAttention:
        """Get the frozen attention.

        Returns:
            nn.MultiheadAttention: A module that shares its parameters.
        """
        attention = nn.MultiheadAttention.__new__(nn.MultiheadAttention)
        nn.Module.__init__(attention)
        _share(self, attention)
        for name in ('lora_down', 'lora_up'):
            attention._parameters.pop(name, None)
        attention.__dict__.pop('scale', None)
        return attention

    def merged(self) -> nn.MultiheadAttention:
        """Get a dense attention with the update in its weight.

        Returns:
            nn.MultiheadAttention: The module; the parameters are shared and
            changed.
        """
        attention = self.original()
        with torch.no_grad():
            attention.in_proj_weight += self.update()
        return attention


def _share(source: nn.Module, target: nn.Module) -> None:
    """Give a module the settings, parameters and children of another one."""
    for name, value in vars(source).items():
        target.__dict__[name] = value.copy() if isinstance(value, dict) else value


def select_lora_layers(
    module: nn.Module,
    include: Union[str, Iterable[str]],
    exclude: Union[str, Iterable[str]],
) -> Dict[str, nn.Linear]:
    """Select the linear layers to adapt.

    Args:
        module (nn.Module): The model.
        include, exclude: See ``build_lora``.

    Returns:
        dict[str, nn.Linear]: The layers by name.

    Raises:
        ValueError: If a pattern matches no layer, or no layer is selected.
    """
    layers = linear_layers(module)
    included = resolve(include, INCLUDE, 'include')
    excluded = resolve(exclude, EXCLUDE, 'exclude')
    if not layers:
        raise ValueError(
            f'{type(module).__name__} has no linear layer and no '
            'nn.MultiheadAttention that LoRA could adapt: give a transformer.'
        )
    check_matches(include, INCLUDE, layers, 'include')
    check_matches(exclude, EXCLUDE, layers, 'exclude')
    selected = {
        name: layer
        for name, layer in layers.items()
        if matches(included, name) and not matches(excluded, name)
    }
    if not selected:
        raise ValueError(
            f'LoRA adapts no layer of {type(module).__name__}: of its {len(layers)} '
            f'linear layers ({shorten(layers)}), include={include!r} and '
            f'exclude={exclude!r} select none.'
        )
    return selected


def insert_lora_(
    module: nn.Module,
    layers: Dict[str, nn.Linear],
    rank: int,
    alpha: float,
    dropout: float,
) -> None:
    """Replace linear layers by adapted ones that share their parameters, in place.

    Args:
        module (nn.Module): The model.
        layers (dict[str, nn.Linear]): The layers by name, see ``linear_layers``.
        rank (int): Rank of the updates.
        alpha (float): Scale of the updates.
        dropout (float): Dropout of the input of the updates.

    Raises:
        ValueError: If the rank is above the size of a layer, or if there is dropout
            and the weight of a layer is read instead of calling the layer.
    """
    for name, layer in layers.items():
        if rank > min(layer.in_features, layer.out_features):
            raise ValueError(
                f'rank={rank} is above the size of {name}, which has '
                f'{layer.in_features} inputs and {layer.out_features} outputs: lower '
                f'the rank or set exclude=[{name!r}].'
            )
    read = _read_layers(module) & set(layers)
    if read and dropout:
        raise ValueError(
            f'dropout={dropout} cannot be applied to {shorten(sorted(read))}, whose '
            'attention reads the weight instead of calling the layer: set dropout=0 '
            'or exclude them.'
        )
    new: Dict[nn.Module, nn.Module] = {}
    attentions: Dict[nn.Module, nn.Module] = {}
    for name, layer in layers.items():
        attention = packed_attention(module, name)
        if attention is not None:
            attentions[attention] = attention
        elif name in read:
            new[layer] = ReadLoRALinear(layer, rank, alpha)
        else:
            new[layer] = LoRALinear(layer, rank, alpha, dropout)
    exchange_(module, new)
    exchange_(
        module, {old: LoRAMultiheadAttention(old, rank, alpha) for old in attentions}
    )


def _read_layers(module: nn.Module) -> Set[str]:
    """Names of the layers whose weight is read instead of calling the layer."""
    names = computed_weights(module)
    for name, child in module.named_modules():
        if isinstance(child, nn.MultiheadAttention):
            prefix = f'{name}.' if name else ''
            names |= {f'{prefix}in_proj', f'{prefix}out_proj'}
    return names


def merge_lora_(module: nn.Module) -> None:
    """Add all updates to the weights of their layers, in place.

    The model becomes an ordinary one of its host, with all parameters trainable and
    a complete state dict. It costs what the base costs.

    Args:
        module (nn.Module): The model.
    """
    layers = [child for child in module.modules() if isinstance(child, LoRALayer)]
    # The inner ones first: the output projection within an attention.
    for kinds in ((LoRALinear,), (LoRAMultiheadAttention,)):
        exchange_(
            module,
            {layer: layer.merged() for layer in layers if isinstance(layer, kinds)},
        )
    release_base(module)


@MODELS.register_module('LoRA')
def build_lora(
    module: Union[str, type, dict],
    rank: int = 16,
    alpha: float = 16.0,
    dropout: float = 0.0,
    include: Union[str, Iterable[str]] = 'attention',
    exclude: Union[str, Iterable[str]] = (),
    trained: Union[str, Iterable[str]] = (),
    **kwargs,
) -> nn.Module:
    """Build a frozen model with trained low-rank updates of its linear layers.

    `LoRA: Low-Rank Adaptation of Large Language Models
    <https://arxiv.org/abs/2106.09685>`_. The result is an instance of the host's
    class. The weights of the base are loaded by ``init_cfg`` or ``load_from``;
    checkpoints have the trained weights only, see ``AdaptedModel``. The projections
    of ``nn.MultiheadAttention``, and weights that an attention reads instead of
    calling the layer, are adapted as well.

    Args:
        module (str | type | dict): Type or config of any registered class, a
            backbone or a whole model.
        rank (int): Rank of the updates. A packed projection of query, key and value
            has one update. Defaults to 16.
        alpha (float): The updates are scaled by alpha / rank. Defaults to 16.
        dropout (float): Dropout of the input of the updates. Defaults to 0.
        include (str | Iterable[str]): Layers to adapt: ``'attention'``, ``'all'``, or
            a list of these and of regular expressions, which are searched for in the
            names of the layers. Defaults to ``'attention'``.
        exclude (str | Iterable[str]): Layers that are not adapted: the name of a
            preset of ``build_low_rank``, or such a list. Defaults to none.
        trained (str | Iterable[str]): Regular expressions of parameters that are
            trained in addition, such as ``['norm']`` or the head of a whole model.
            Defaults to none.
        **kwargs: Further arguments of the module, see ``build_low_rank``.

    Returns:
        nn.Module: The module.

    Raises:
        ImportError: If the host of the module is missing or not supported.
        ValueError: If ``module`` is not a class, an argument is out of range, the
            rank is above the size of a layer, a pattern matches nothing, or no layer
            is selected.

    Examples:
        >>> backbone = dict(
        ...     type='mmvlfusion.LoRA', module='mmpretrain.SwinTransformer', rank=64,
        ...     include=['qkv'], arch='base')
    """
    check_number('rank', rank, 1, integer=True)
    check_number('alpha', alpha, 0, above=True)
    check_number('dropout', dropout, 0, 1)

    def insert(built: nn.Module) -> None:
        layers = select_lora_layers(built, include, exclude)
        insert_lora_(built, layers, rank, alpha, dropout)

    return build_adapted(module, kwargs, insert, trained)


def to_merged_config(cfg: dict) -> dict:
    """Rewrite the config of a model without LoRA, for its merged weights.

    Args:
        cfg (dict): Config of a model, of which any part may have ``build_lora``.

    Returns:
        dict: The config.
    """
    return without_builders(cfg, {build_lora: None}, build_lora)
