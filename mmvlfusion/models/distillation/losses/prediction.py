"""Distance of predictions, of TinyBERT (arXiv 1909.10351, Section 3.1)."""

from typing import List

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ..features import Features, check_equal_numbers
from .base import LayerLoss


@MODELS.register_module()
class PredictionLoss(LayerLoss):
    """Soft cross-entropy of the logits (Eq. 10), the mean over samples and classes.

    Args:
        features (str | Iterable[str] | dict[str, str]): The module that returns the
            logits, see ``pair_layers``. Defaults to the head of a classifier.
        temperature (float): Divides the logits. Defaults to 1.
        weight (float): Weight of the loss. Defaults to 1.

    Raises:
        ValueError: If the temperature is not above 0.
    """

    proportional = False

    def __init__(
        self,
        features: Features = ('head',),
        temperature: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(features, weight)
        check_number('temperature', temperature, 0, above=True)
        self.temperature = temperature

    def forward(
        self, features: List[torch.Tensor], targets: List[torch.Tensor]
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            features (list[torch.Tensor]): Logits of the student, (B, classes) each.
            targets (list[torch.Tensor]): Those of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If there are different numbers of logits.
        """
        check_equal_numbers(features, targets)
        losses = [
            -(
                (target.float() / self.temperature).softmax(-1)
                * (x.float() / self.temperature).log_softmax(-1)
            ).mean()
            for x, target in zip(features, targets)
        ]
        return torch.stack(losses).sum()
