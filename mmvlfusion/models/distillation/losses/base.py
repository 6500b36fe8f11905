"""Base class of the losses of a distiller.

Notation of shapes:

    ====  =============================================
    B     batch size
    N     tokens
    D     channels of a token
    ====  =============================================
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, List

import torch
from torch import nn

from ...utils import recorded_outputs
from ..features import Features, pair_layers


class DistillationLoss(nn.Module):
    """A loss that compares a student with its teacher.

    Attributes:
        reads_features (bool): Whether it needs a forward pass of the teacher.
        has_own_pass (bool): Whether it needs an additional forward pass of the
            student, within ``own_pass``, after the pass of the teacher.

    Args:
        weight (float): Weight of the loss. Defaults to 1.
    """

    reads_features = True
    has_own_pass = False

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def connect(self, student: nn.Module, teacher: nn.Module) -> None:
        """Find the layers that are compared, and check that they fit.

        Args:
            student (nn.Module): The student.
            teacher (nn.Module): The teacher.

        Raises:
            ValueError: If they do not fit.
        """
        raise NotImplementedError

    def record_student(self, student: nn.Module) -> AbstractContextManager[Any]:
        """Record what the loss compares while the student runs.

        Args:
            student (nn.Module): The student.

        Returns:
            AbstractContextManager: Yields what ``forward`` reads.
        """
        return nullcontext([])

    def record_teacher(self, teacher: nn.Module) -> AbstractContextManager[Any]:
        """Record what the loss compares while the teacher runs.

        Args:
            teacher (nn.Module): The teacher.

        Returns:
            AbstractContextManager: Yields what ``forward`` reads.
        """
        return nullcontext([])

    def own_pass(self, student: nn.Module, targets: Any) -> AbstractContextManager[Any]:
        """Change the student for an additional forward pass, and record it.

        Args:
            student (nn.Module): The student.
            targets (Any): What ``record_teacher`` yielded.

        Returns:
            AbstractContextManager: Yields what ``forward`` reads.
        """
        raise NotImplementedError

    def forward(self, features: Any, targets: Any) -> torch.Tensor:
        """Compute the loss, without its weight.

        Args:
            features (Any): What was recorded of the student.
            targets (Any): What was recorded of the teacher.

        Returns:
            torch.Tensor: A scalar.
        """
        raise NotImplementedError


class LayerLoss(DistillationLoss):
    """A loss that compares outputs of layers in pairs.

    Attributes:
        proportional (bool): See ``pair_layers``.

    Args:
        features (str | Iterable[str] | dict[str, str]): The layers, see
            ``pair_layers``.
        weight (float): Weight of the loss. Defaults to 1.
    """

    proportional = True

    def __init__(self, features: Features, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.features = features
        self._student_layers: List[str] = []
        self._teacher_layers: List[str] = []

    def connect(self, student: nn.Module, teacher: nn.Module) -> None:
        """See ``DistillationLoss``."""
        self._student_layers, self._teacher_layers = pair_layers(
            self.features, student, teacher, self.proportional
        )

    def record_student(self, student: nn.Module) -> AbstractContextManager[Any]:
        """See ``DistillationLoss``; yields the outputs of the layers."""
        return recorded_outputs(student, self._student_layers)

    def record_teacher(self, teacher: nn.Module) -> AbstractContextManager[Any]:
        """See ``DistillationLoss``; yields the outputs of the layers."""
        return recorded_outputs(teacher, self._teacher_layers)
