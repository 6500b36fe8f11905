"""Regularised weight perturbation, L_rwp of PELA (arXiv 2310.10700, Section 3.3)."""

from contextlib import AbstractContextManager, nullcontext
from typing import List

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..distillation import DistillationLoss
from ..distillation.losses.feature import FORMS
from ..utils import packed_attention
from .linear import LowRankLinear


@MODELS.register_module()
class WeightPerturbationLoss(DistillationLoss):
    """Largest change of each low-rank weight from the dense one.

    Matrices of EMA models are not trained and do not count, while they do in the
    released code of ALBEF, with a constant factor.

    Args:
        radius (float): epsilon. Defaults to 1e-3.
        form (str): ``'paper'``: the sum over matrices of max|W^ - W| - epsilon (Eq. 5
            and 6). ``'code'``, as released: the mean over matrices of its square.
            Defaults to ``'paper'``.
        weight (float): Weight of the loss. Defaults to 1.

    Raises:
        ValueError: If ``form`` is not one of its choices.
    """

    reads_features = False

    def __init__(
        self, radius: float = 1e-3, form: str = 'paper', weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        check_choice('form', form, FORMS)
        self.radius = radius
        self.form = form
        self._layers: List[str] = []

    def connect(self, student: nn.Module, teacher: nn.Module) -> None:
        """See ``DistillationLoss``.

        Raises:
            ValueError: If the student has no low-rank layer, or the teacher has no
                dense layer of the same shape for one.
        """
        self._layers = trained_low_rank_layers(student, teacher)

    def record_student(self, student: nn.Module) -> AbstractContextManager[nn.Module]:
        """See ``DistillationLoss``; yields the model, whose weights are compared."""
        return nullcontext(student)

    def record_teacher(self, teacher: nn.Module) -> AbstractContextManager[nn.Module]:
        """See ``DistillationLoss``; yields the model."""
        return nullcontext(teacher)

    def forward(self, features: nn.Module, targets: nn.Module) -> torch.Tensor:
        """Compute the loss from the weights.

        Args:
            features (nn.Module): The student.
            targets (nn.Module): The teacher.

        Returns:
            torch.Tensor: The loss, a scalar.
        """
        student, teacher = features, targets
        device = next(student.parameters()).device.type
        with torch.autocast(device, enabled=False):
            excess = torch.stack(
                [
                    (student.get_submodule(name).weight - _dense_weight(teacher, name))
                    .abs()
                    .amax()
                    - self.radius
                    for name in self._layers
                ]
            )
        return excess.square().mean() if self.form == 'code' else excess.sum()


def trained_low_rank_layers(student: nn.Module, dense: nn.Module) -> List[str]:
    """Find the low-rank layers that are trained.

    Args:
        student (nn.Module): The low-rank model.
        dense (nn.Module): The dense model.

    Returns:
        list[str]: Names of the low-rank layers with gradients.

    Raises:
        ValueError: If there is no low-rank layer, or the dense model has no layer of
            the same shape for one.
    """
    layers = {
        name: layer
        for name, layer in student.named_modules()
        if isinstance(layer, LowRankLinear)
    }
    if not layers:
        raise ValueError(
            f'The student {type(student).__name__} has no low-rank layer: '
            'build it, or a part of it, by mmvlfusion.LowRank.'
        )
    for name, layer in layers.items():
        expected = (layer.out_features, layer.in_features)
        try:
            shape = tuple(_dense_weight(dense, name).shape)
        except AttributeError as error:
            raise ValueError(
                f'The teacher has no layer {name}, which is a '
                'low-rank one of the student.'
            ) from error
        if shape != expected:
            raise ValueError(
                f'{name} is {shape} in the teacher and {expected} in the '
                'student: they must have the same architecture.'
            )
    # EMA models are not trained.
    return [name for name, layer in layers.items() if layer.up.requires_grad]


def _dense_weight(model: nn.Module, name: str) -> torch.Tensor:
    """The dense weight that corresponds to a low-rank layer."""
    attention = packed_attention(model, name)
    if attention is not None:
        return attention.in_proj_weight
    return model.get_submodule(name).weight
