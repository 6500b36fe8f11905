"""Distance of attention scores, of TinyBERT (arXiv 1909.10351, Section 3.1)."""

from contextlib import AbstractContextManager
from typing import List

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS

from ..attention import attention_names, num_heads, recorded_scores
from ..features import check_equal_numbers
from .base import LayerLoss

# Scores below are those of masked keys.
MASKED = -100


@MODELS.register_module()
class AttentionScoreLoss(LayerLoss):
    """Mean squared error of the attention scores before the softmax, per head.

    The loss is the sum over the blocks of the student (Eq. 7). Scores of masked keys
    do not count.

    Args:
        features (str | Iterable[str] | dict[str, str]): The blocks, see
            ``pair_layers``. Each contains one self-attention, see
            ``recorded_scores``.
        weight (float): Weight of the loss. Defaults to 1.
    """

    def connect(self, student: nn.Module, teacher: nn.Module) -> None:
        """See ``DistillationLoss``.

        Raises:
            ValueError: If a block has no known attention, or the numbers of heads
                differ.
        """
        super().connect(student, teacher)
        self._student_layers = attention_names(student, self._student_layers)
        self._teacher_layers = attention_names(teacher, self._teacher_layers)
        for name, target in zip(self._student_layers, self._teacher_layers):
            heads = num_heads(student, name)
            expected = num_heads(teacher, target)
            if heads != expected:
                raise ValueError(
                    f'{name} of the student has {heads} heads and {target} of the '
                    f'teacher {expected}: attention scores are compared head by '
                    f'head. Set num_heads={expected} in the student, or remove '
                    'AttentionScoreLoss.'
                )

    def record_student(
        self, student: nn.Module
    ) -> AbstractContextManager[List[torch.Tensor]]:
        """See ``DistillationLoss``; yields the scores."""
        return recorded_scores(student, self._student_layers)

    def record_teacher(
        self, teacher: nn.Module
    ) -> AbstractContextManager[List[torch.Tensor]]:
        """See ``DistillationLoss``; yields the scores."""
        return recorded_scores(teacher, self._teacher_layers)

    def forward(
        self, features: List[torch.Tensor], targets: List[torch.Tensor]
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            features (list[torch.Tensor]): Scores of the student, (B, heads, N, N)
                each.
            targets (list[torch.Tensor]): Those of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If the numbers or the shapes of the scores differ.
        """
        check_equal_numbers(features, targets)
        losses = []
        for x, target in zip(features, targets):
            if x.shape != target.shape:
                raise ValueError(
                    f'Attention scores of the student have the shape {tuple(x.shape)}, '
                    f'those of the teacher {tuple(target.shape)}: both models must '
                    'attend to the same tokens.'
                )
            losses.append(F.mse_loss(_unmasked(x), _unmasked(target)))
        return torch.stack(losses).sum()


def _unmasked(scores: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(scores <= MASKED, 0)
