"""Classification head over a fixed list of answers."""

from collections import defaultdict
from typing import Any, Dict, Sequence, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmvlfusion.evaluation.functional.vqa import (
    NUM_ANNOTATORS,
    agreement,
    normalize,
)
from mmvlfusion.registry import MODELS

from ..fusion import FusionOutput, masked_mean
from .answer_list import AnswerListHead
from .sample_fields import weighted_texts


@MODELS.register_module()
class AnswerClassificationHead(AnswerListHead):
    """Classification of the mean fused token into a list of answers.

    The loss is the binary cross-entropy with VQA's soft scores, summed over the
    answers, as in Bottom-Up and Top-Down (arXiv 1707.07998). Answers that are
    equal after VQA's normalisation are merged. Ground-truth answers outside the
    list are ignored.

    Args:
        answers (str | Sequence[str]): The answers. See ``load_answers``.
        in_channels (int): Channels D of the fused tokens.
        tokenizer (object): Not used. It exists because the model passes its
            tokenizer to every head. Defaults to None.
        init_cfg (dict, optional): Initialisation. Defaults to a truncated
            normal distribution with a standard deviation of 0.02.

    Raises:
        ValueError: If the list is empty or has duplicates.
    """

    def __init__(
        self,
        answers: Union[str, Sequence[str]],
        in_channels: int,
        tokenizer: Any = None,
        init_cfg: dict = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(answers, in_channels, init_cfg)
        self.indices = {normalize(answer): i for i, answer in enumerate(self.answers)}
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, 2 * in_channels),
            nn.GELU(),
            nn.LayerNorm(2 * in_channels),
            nn.Linear(2 * in_channels, len(self.answers)),
        )

    def forward(self, fused: FusionOutput) -> torch.Tensor:
        """Compute the logits of the answers.

        Args:
            fused (FusionOutput): The fused tokens of B samples.

        Returns:
            torch.Tensor: Shape (B, answers).
        """
        return self.classifier(masked_mean(fused.tokens, fused.mask))

    def loss(self, fused: FusionOutput, data_samples: list) -> Dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples, with ``gt_answer`` and
                optionally ``num_annotators``, which defaults to ten.

        Returns:
            dict[str, torch.Tensor]: ``loss_answer``.
        """
        logits = self(fused)
        targets = torch.zeros_like(logits)
        for row, sample in zip(targets, data_samples):
            shares: Dict[str, float] = defaultdict(float)
            for answer, share in weighted_texts(sample, 'answer'):
                shares[normalize(answer)] += share
            number = sample.get('num_annotators') or NUM_ANNOTATORS
            for answer, share in shares.items():
                if answer in self.indices:
                    row[self.indices[answer]] = agreement(share, number)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='sum')
        return dict(loss_answer=loss / len(logits))

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """See ``AnswerListHead.probabilities``."""
        return logits.sigmoid()
