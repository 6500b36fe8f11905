"""Distance of hidden states, of TinyBERT (arXiv 1909.10351, Section 3.1)."""

from contextlib import AbstractContextManager, contextmanager
from typing import Iterator, List, Optional

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS

from ...utils import recorded_outputs
from ..features import Features, check_equal_numbers, first_block
from .base import LayerLoss


@MODELS.register_module()
class HiddenStateLoss(LayerLoss):
    """Mean squared error of the input of the first block and the outputs of the blocks.

    The loss is the sum over i = 0, ..., M of MSE(fit(h_i), t_g(i)): 0 is the input
    of the first block (the embedding), and fit is one linear layer for all of them
    (Eq. 8 and 9).

    Args:
        features (str | Iterable[str] | dict[str, str]): See ``pair_layers``.
        in_channels (int, optional): Channels of the student's states. Defaults to
            None: there is no linear layer, for states of equal shapes. TinyBERT has
            one also at equal widths.
        out_channels (int, optional): Channels of the teacher's states. Defaults to
            ``in_channels``.
        weight (float): Weight of the loss. Defaults to 1.
    """

    def __init__(
        self,
        features: Features,
        in_channels: Optional[int] = None,
        out_channels: Optional[int] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(features, weight)
        self.fit: nn.Module = nn.Identity()
        if in_channels is not None:
            self.fit = nn.Linear(in_channels, out_channels or in_channels)

    def record_student(
        self, student: nn.Module
    ) -> AbstractContextManager[List[torch.Tensor]]:
        """See ``DistillationLoss``; yields the states."""
        return _recorded_states(student, self._student_layers)

    def record_teacher(
        self, teacher: nn.Module
    ) -> AbstractContextManager[List[torch.Tensor]]:
        """See ``DistillationLoss``; yields the states."""
        return _recorded_states(teacher, self._teacher_layers)

    def forward(
        self, features: List[torch.Tensor], targets: List[torch.Tensor]
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            features (list[torch.Tensor]): States of the student, (B, N, D) each.
            targets (list[torch.Tensor]): Those of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If the numbers or the shapes of the states differ.
        """
        check_equal_numbers(features, targets)
        losses = []
        for x, target in zip(features, targets):
            x = self.fit(x)
            if x.shape != target.shape:
                raise ValueError(
                    f'A state of the student has the shape {tuple(x.shape)}, the '
                    f'state of the teacher {tuple(target.shape)}: set in_channels and '
                    'out_channels of HiddenStateLoss to their channels.'
                )
            losses.append(F.mse_loss(x.float(), target.float()))
        return torch.stack(losses).sum()


@contextmanager
def _recorded_states(
    model: nn.Module, layers: List[str]
) -> Iterator[List[torch.Tensor]]:
    """Record the input of the first block, and the outputs of some blocks."""
    states: List[torch.Tensor] = []
    handle = model.get_submodule(first_block(layers[0])).register_forward_pre_hook(
        lambda module, args: states.append(args[0])
    )
    try:
        with recorded_outputs(model, layers) as outputs:
            yield states
    finally:
        states += outputs
        handle.remove()
