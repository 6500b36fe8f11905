"""The error of a model's features that the ranks of one layer cause."""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import numpy as np
import torch
import torch.nn as nn

from ..utils import recorded_outputs
from .calibration import bias_of, evaluation, run
from .fitting import Fit
from .ranks import Options

# Ranks of a layer that are measured; the others are interpolated.
NUM_RANKS = 3
# Part of the batches on which features are compared.
SEARCH_PART = 4
MIN_ERROR = 1e-12


class FeatureError:
    """The squared error of a model's features, relative to their variance.

    Args:
        module (nn.Module): The dense model.
        batches (list): Its inputs; a quarter of them is used.
        features (str, optional): Name of the module whose outputs are compared.
            Defaults to None: ``'backbone'`` if there is one, else the model.

    Raises:
        ValueError: If there is no such module, or it has no tensor as output.
    """

    def __init__(
        self, module: nn.Module, batches: List[Any], features: Optional[str] = None
    ) -> None:
        names = dict(module.named_modules())
        if features is None:
            features = 'backbone' if 'backbone' in names else ''
        if features not in names:
            raise ValueError(
                f'features={features!r} is not a module of {type(module).__name__}. '
                f'It has {", ".join(list(names)[1:6])} ...'
            )
        self.module = module
        self.name = features
        self.batches = batches[: -(-len(batches) // SEARCH_PART)]
        self.dense = self._outputs()
        if not any(self.dense):
            raise ValueError(
                f'features={features!r}: {type(names[features]).__name__} does not '
                'return tensors. Set features to a module that does.'
            )

    def _outputs(self) -> List[List[torch.Tensor]]:
        outputs = []
        for batch in self.batches:
            with recorded_outputs(self.module, [self.name]) as tensors:
                run(self.module, batch)
            outputs.append([x.float() for x in tensors])
        return outputs

    def __call__(self) -> float:
        """Measure the present error of the model.

        Returns:
            float: The error, averaged over batches and tensors.
        """
        errors = []
        for dense, low in zip(self.dense, self._outputs()):
            for x, y in zip(dense, low):
                spread = (x - x.mean(0)).square().sum()
                scale = spread if spread > 0 else x.square().sum()
                errors.append(((x - y).square().sum() / scale.clamp_min(1e-30)).item())
        return float(np.mean(errors))


@contextmanager
def _changed_weight(
    module: nn.Module, name: str, layer: nn.Module, fit: Fit, rank: int
) -> Iterator[None]:
    """Give a dense layer the low-rank weight and its bias for a while."""
    down, up = fit.factors(rank)
    changes = {layer.weight: up @ down}
    shift = fit.bias_shift(rank)
    bias = bias_of(module, name, layer)
    if shift is not None and bias is not None:
        changes[bias] = bias.detach() + shift
    originals = {parameter: parameter.detach().clone() for parameter in changes}
    try:
        with torch.no_grad():
            for parameter, value in changes.items():
                parameter.copy_(value.reshape(parameter.shape))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in originals.items():
                parameter.copy_(value)


def feature_errors(
    module: nn.Module,
    layers: Dict[str, nn.Module],
    fits: Dict[str, Fit],
    options: Dict[str, Options],
    batches: List[Any],
    features: Optional[str],
    progress: Callable[[list], Iterable],
) -> Dict[str, Options]:
    """Replace the errors of layers' outputs by those of the model's features.

    Each layer is changed with all others dense, as in FLAR-SVD (CVPRW 2025). A few
    ranks are measured; the errors between them are interpolated as a power of the
    errors of the layer's outputs.

    Args:
        module (nn.Module): The dense model.
        layers (dict[str, nn.Module]): The layers by name.
        fits (dict[str, Fit]): Their decompositions.
        options (dict[str, Options]): Their choices, with the errors of their
            outputs.
        batches (list): Inputs of the model.
        features (str, optional): See ``FeatureError``.
        progress (Callable): Wraps the list of names.

    Returns:
        dict[str, Options]: The choices with the errors of the features.
    """
    measured = {}
    with evaluation(module):
        error_now = FeatureError(module, batches, features)
        for name in progress(list(layers)):
            choice = options[name]
            count = len(choice.ranks) - 1
            if not count:
                measured[name] = choice
                continue
            places = np.unique(np.linspace(0, count - 1, NUM_RANKS + 1).astype(int)[1:])
            errors = []
            for place in places:
                rank = int(choice.ranks[place])
                with _changed_weight(module, name, layers[name], fits[name], rank):
                    errors.append(max(error_now(), MIN_ERROR))
            own = np.log(np.maximum(choice.errors[:-1], MIN_ERROR))
            values = _interpolate(own, own[places], np.log(errors))
            measured[name] = choice._replace(errors=np.append(np.exp(values), 0.0))
    return measured


def _interpolate(x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate linearly; beyond the known ends the slope is 1."""
    order = np.argsort(known)
    known, values = known[order], np.maximum.accumulate(values[order])
    inside = np.interp(x, known, values)
    below, above = np.minimum(x - known[0], 0), np.maximum(x - known[-1], 0)
    return inside + below + above
