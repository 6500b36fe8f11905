"""Distance of features, L_fd of PELA (arXiv 2310.10700, Section 3.2)."""

from typing import List

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..features import Features, check_equal_numbers
from .base import LayerLoss

FORMS = ('paper', 'code')


@MODELS.register_module()
class FeatureLoss(LayerLoss):
    """Squared distance of the outputs of layers of equal shape.

    Args:
        features (str | Iterable[str] | dict[str, str]): See ``pair_layers``.
            Patterns must match equal numbers of modules.
        form (str): ``'paper'``: the mean over layers of half the squared distance,
            which is averaged over the images (Eq. 4). ``'code'``, as released: the
            mean over layers of the mean squared error of their elements. Defaults
            to ``'paper'``.
        weight (float): Weight of the loss. Defaults to 1.

    Raises:
        ValueError: If ``form`` is not one of its choices.
    """

    proportional = False

    def __init__(
        self, features: Features, form: str = 'paper', weight: float = 1.0
    ) -> None:
        super().__init__(features, weight)
        check_choice('form', form, FORMS)
        self.form = form

    def forward(
        self, features: List[torch.Tensor], targets: List[torch.Tensor]
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            features (list[torch.Tensor]): Features of the student, (B, ...)
                each.
            targets (list[torch.Tensor]): Those of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If there are different numbers of features.
        """
        check_equal_numbers(features, targets)
        distances = []
        for x, target in zip(features, targets):
            square = (x.float() - target.float()).square()
            distances.append(
                square.mean() if self.form == 'code' else square.sum() / (2 * len(x))
            )
        return torch.stack(distances).mean()
