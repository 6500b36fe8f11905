"""A frozen model with trained adapters: initialisation and small checkpoints."""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Set, Union

import torch
from mmengine.registry import MODELS as HOST_MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..utils import (
    exchange_,
    is_pretrained,
    matches,
    module_config,
    shorten,
    with_mixin,
)

# Key of the statistics of the base in a checkpoint.
STATISTICS = 'base_statistics'
# Values of a tensor that its statistics are computed from.
NUM_SAMPLES = 2**16
# Tolerance of the statistics relative to the root mean square: rounding to half
# precision changes them by less, another base by more.
TOLERANCE = 1e-2
# And absolute: the smallest numbers of half precision.
MIN_ERROR = 1e-6


class Adapter(nn.Module):
    """A module with trained parameters within a frozen model."""

    def reset_adapter(self) -> None:
        """Initialise the trained parameters."""
        raise NotImplementedError

    def own_parameters(self) -> Iterable[nn.Parameter]:
        """Get the trained parameters.

        Returns:
            Iterable[nn.Parameter]: All parameters, unless a subclass shares some
            with the frozen model.
        """
        return self.parameters()

    def original(self) -> nn.Module:
        """Get a module without the adapter that shares the frozen parameters.

        Returns:
            nn.Module: The module that represents it while the host initialises
            weights.
        """
        return self


class AdaptedModel:
    """Mixin of models whose parameters are frozen except those of adapters.

    Its state dict has only the trained weights, and statistics of the frozen
    ones. A state dict with all weights of the base is loaded as the host does.
    One with trained weights requires that the base is loaded already; otherwise
    the base is loaded from ``init_cfg``.
    """

    _trained_names: Set[str]
    # Those that the host itself does not freeze.
    _frozen_names: Set[str]

    def freeze_base(self, trained: Union[str, Iterable[str]]) -> None:
        """Freeze all parameters except those of adapters and those selected.

        Args:
            trained (str | Iterable[str]): Regular expressions that are searched
                for in the names of parameters.

        Raises:
            ValueError: If a pattern matches no parameter.
        """
        trained = [trained] if isinstance(trained, str) else list(trained)
        parameters = dict(self.named_parameters())  # type: ignore[attr-defined]
        for pattern in trained:
            if not any(matches((pattern,), name) for name in parameters):
                raise ValueError(
                    f'trained has {pattern!r}, which matches no parameter of '
                    f'{type(self).__name__}: correct it or remove it. There are '
                    f'{shorten(parameters)}.'
                )
        own = {id(p) for adapter in _adapters(self) for p in adapter.own_parameters()}
        names = {
            name
            for name, parameter in parameters.items()
            if id(parameter) in own or matches(trained, name)
        }
        self._frozen_names = {
            name
            for name, parameter in parameters.items()
            if name not in names and parameter.requires_grad
        }
        for name in self._frozen_names:
            parameters[name].requires_grad_(False)
        owners = {name.rpartition('.')[0] for name in names}
        self._trained_names = names | {
            name
            for name, _ in self.named_buffers()  # type: ignore[attr-defined]
            if name.rpartition('.')[0] in owners
        }
        self._register_state_dict_hook(_drop_base)  # type: ignore[attr-defined]

    def train(self, mode: bool = True) -> 'AdaptedModel':
        """Set the mode; batch norms of the base remain in evaluation mode.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            AdaptedModel: The model.
        """
        super().train(mode)  # type: ignore[misc]  # The host's.
        for name, module in self.named_modules():  # type: ignore[attr-defined]
            if isinstance(module, _BatchNorm):
                prefix = f'{name}.' if name else ''
                if f'{prefix}running_mean' not in self._trained_names:
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Initialise the base as the host does, and then the adapters."""
        is_first = not getattr(self, '_is_init', False)
        with _original_modules(self), _complete_state(self):
            super().init_weights()  # type: ignore[misc]
        if is_first:
            for adapter in _adapters(self):
                adapter.reset_adapter()

    def base_weights(self) -> Dict[str, torch.Tensor]:
        """Get the weights that are not trained.

        Returns:
            dict[str, torch.Tensor]: Parameters and buffers by name.
        """
        with _complete_state(self):
            state = nn.Module.state_dict(self)  # type: ignore[arg-type]
        return {k: v for k, v in state.items() if k not in self._trained_names}

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        statistics = state_dict.pop(prefix + STATISTICS, None)
        if statistics is not None:
            self._check_trained(state_dict, prefix)
            self._find_base(statistics)
            for name, value in self.base_weights().items():
                state_dict[prefix + name] = value
        # Some hosts read their own state dict here.
        with _complete_state(self):
            super()._load_from_state_dict(state_dict, prefix, *args)  # type: ignore

    def _check_trained(self, state_dict: dict, prefix: str) -> None:
        """Check that a checkpoint has exactly the trained weights of this model."""
        found = {
            key.removeprefix(prefix): tuple(value.shape)
            for key, value in state_dict.items()
            if key.startswith(prefix)
        }
        with _complete_state(self):
            state = nn.Module.state_dict(self)  # type: ignore[arg-type]
        own = {name: tuple(state[name].shape) for name in self._trained_names}
        other = sorted(
            name for name in {*found, *own} if found.get(name) != own.get(name)
        )
        if other:
            name = other[0]
            raise ValueError(
                f'The checkpoint has other adapters than {type(self).__name__}: '
                f'{len(other)} weights differ, such as {name}, whose shape is '
                f'{found.get(name, "missing")} in the checkpoint and '
                f'{own.get(name, "missing")} in the model. Set the arguments of '
                'the builder (rank, include, exclude, trained) to those of its '
                'training.'
            )

    def _find_base(self, statistics: torch.Tensor) -> None:
        """Load the base from ``init_cfg`` if it is not that of a checkpoint."""
        difference = _difference(statistics, self.base_weights())
        if difference is None:
            return
        parts = [
            module
            for module in self.modules()  # type: ignore[attr-defined]
            if is_pretrained(getattr(module, 'init_cfg', None))
        ]
        advice = (
            'Set init_cfg of the model with the adapters to the base: '
            "init_cfg=dict(type='Pretrained', checkpoint=FILE), with "
            "prefix='backbone.' if FILE is a checkpoint of a complete model."
        )
        if parts:
            for module in self.modules():  # type: ignore[attr-defined]
                if hasattr(module, '_is_init'):
                    module._is_init = False
            try:
                self.init_weights()
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f'The checkpoint has only the trained weights of adapters, and '
                    f'the weights of their base are missing: {error}. {advice}'
                ) from error
            difference = _difference(statistics, self.base_weights())
            advice = (
                'init_cfg of the model loads another base: set its checkpoint to '
                'the file that the adapters were trained on.'
            )
        if difference is not None:
            raise ValueError(
                'The checkpoint has only the trained weights of adapters, and the '
                f'base of {type(self).__name__} is missing or another one: '
                f'{difference}. {advice}'
            )


def build_adapted(
    module: Union[str, type, dict],
    arguments: Dict[str, Any],
    insert: Callable[[nn.Module], None],
    trained: Union[str, Iterable[str]],
) -> nn.Module:
    """Build a model, insert adapters, and freeze the rest.

    Args:
        module (str | type | dict): See ``module_config``.
        arguments (dict): Further arguments of the module.
        insert (Callable): Inserts the adapters into the module, in place.
        trained (str | Iterable[str]): See ``AdaptedModel.freeze_base``.

    Returns:
        nn.Module: The model, of the host's class with ``AdaptedModel``.
    """
    cfg = module_config(module, arguments)
    cfg['type'] = with_mixin(AdaptedModel, cfg['type'])
    if not hasattr(cfg['type'].__mro__[2], 'init_weights'):
        raise ValueError(
            f'module={cfg["type"].__name__} has no method init_weights: give a '
            'module of mmengine, such as mmpretrain.VisionTransformer.'
        )
    built = HOST_MODELS.build(cfg)
    insert(built)
    built.freeze_base(trained)
    # Some hosts freeze stages in this call only. Distributed training reads which
    # parameters are frozen before the first call.
    built.train()
    return built


def release_base(model: nn.Module) -> None:
    """Make a model without adapters an ordinary one of its host, in place.

    Args:
        model (nn.Module): A model, perhaps with parts of ``AdaptedModel`` whose
            adapters were removed.
    """
    adapted: List[Any] = [x for x in model.modules() if isinstance(x, AdaptedModel)]
    for module in adapted:
        for key, hook in list(module._state_dict_hooks.items()):
            if hook is _drop_base:
                del module._state_dict_hooks[key]
        parameters = dict(module.named_parameters())
        for name in module._frozen_names:
            parameters[name].requires_grad_(True)
        del module._trained_names, module._frozen_names
        module.__class__ = type(module).__mro__[2]
        module.train(module.training)


def _adapters(model: Any) -> Iterator[Adapter]:
    return (module for module in model.modules() if isinstance(module, Adapter))


@contextmanager
def _original_modules(model: Any) -> Iterator[None]:
    """Put modules without the adapters into a model."""
    adapters = list(_adapters(model))
    steps = []
    # Those within others first.
    for is_outer in (False, True):
        originals = {
            adapter: adapter.original()
            for adapter in adapters
            if is_outer == any(child is not adapter for child in _adapters(adapter))
        }
        exchange_(model, originals)
        steps.append(originals)
    try:
        yield
    finally:
        for originals in reversed(steps):
            exchange_(model, {new: old for old, new in originals.items()})


@contextmanager
def _complete_state(model: Any) -> Iterator[None]:
    """Let the state dict of a model have all weights."""
    hooks = model._state_dict_hooks
    model._state_dict_hooks = type(hooks)(
        (key, hook) for key, hook in hooks.items() if hook is not _drop_base
    )
    try:
        yield
    finally:
        model._state_dict_hooks = hooks


def _drop_base(
    module: AdaptedModel, state_dict: dict, prefix: str, local_metadata: dict
) -> None:
    """Replace the frozen weights in a state dict by their statistics."""
    base = {
        key.removeprefix(prefix): state_dict.pop(key)
        for key in list(state_dict)
        if key.startswith(prefix)
        and key.removeprefix(prefix) not in module._trained_names
    }
    state_dict[prefix + STATISTICS] = base_statistics(base)


def base_statistics(weights: Dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute the fingerprint of the frozen weights.

    It survives rounding, unlike a hash, so that a base may be converted to half
    precision, or resampled by another release of PyTorch.

    Args:
        weights (dict[str, torch.Tensor]): The weights by name.

    Returns:
        torch.Tensor: One row for each floating-point tensor in alphabetical order
        of the names: number of values, root mean square, and projection on a fixed
        cosine, in double precision, (n, 3).
    """
    rows = [torch.empty(0, 3, dtype=torch.float64)]
    for _, tensor in sorted(weights.items()):
        if tensor.is_floating_point():
            values = tensor.detach().flatten()[:NUM_SAMPLES].double()
            angles = torch.arange(
                values.numel(), dtype=torch.float64, device=values.device
            )
            number = max(values.numel(), 1)
            rows.append(
                torch.stack(
                    [
                        values.new_tensor(tensor.numel()),
                        (values @ values / number).sqrt(),
                        values @ angles.cos() / number**0.5,
                    ]
                ).cpu()[None]
            )
    return torch.cat(rows)


def _difference(
    statistics: torch.Tensor, weights: Dict[str, torch.Tensor]
) -> Union[str, None]:
    """The first difference of weights to statistics, or None."""
    names = sorted(k for k, v in weights.items() if v.is_floating_point())
    if len(names) != len(statistics):
        return f'it has {len(names)} weights, the checkpoint expects {len(statistics)}'
    own = base_statistics(weights)
    for name, expected, found in zip(names, statistics.double().cpu(), own):
        # Hosts resample tables of positions for other image sizes.
        if expected[0] != found[0]:
            continue
        error = (expected - found)[1:].abs().max()
        if not error <= TOLERANCE * expected[1] + MIN_ERROR:
            return (
                f'{name} has the root mean square {found[1]:.6g} and the projection '
                f'{found[2]:.6g}, expected {expected[1]:.6g} and {expected[2]:.6g}'
            )
    return None
