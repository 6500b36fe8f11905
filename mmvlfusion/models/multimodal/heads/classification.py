"""An answer from a fixed list."""

from collections import Counter
from typing import Any, Dict, List, Sequence, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule

from mmvlfusion.evaluation.functional.vqa import agreement, normalize
from mmvlfusion.registry import MODELS

from ...utils import check_fingerprint, fingerprint
from ..fusion import FusionOutput, masked_mean
from .answers import load_answers
from .sample_fields import store_texts, weighted_texts


@MODELS.register_module()
class AnswerClassificationHead(BaseModule):
    """Classify the mean of the fused tokens among the answers of a list.

    Training is by binary cross-entropy against VQA's soft scores, summed over
    the answers, as in Bottom-Up and Top-Down (arXiv 1707.07998); answers that
    are equal after VQA's normalisation are one. An answer of the data that is
    not in the list teaches no class.

    Args:
        answers (str | Sequence[str]): The answers, or a json file of them.
        in_channels (int): Channels D of the tokens.
        tokenizer (object): Not used; the generation head's.
        init_cfg (dict, optional): Initialisation. Defaults to a truncated
            normal with a deviation of 0.02.

    Raises:
        ValueError: If the list is empty or names an answer twice.
    """

    def __init__(
        self,
        answers: Union[str, Sequence[str]],
        in_channels: int,
        tokenizer: Any = None,
        init_cfg: dict = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.answers = load_answers(answers)
        self.register_buffer('answers_fingerprint', fingerprint(self.answers))
        self.indices = {normalize(answer): i for i, answer in enumerate(self.answers)}
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, 2 * in_channels),
            nn.GELU(),
            nn.LayerNorm(2 * in_channels),
            nn.Linear(2 * in_channels, len(self.answers)),
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """See ``torch.nn.Module``.

        Raises:
            ValueError: If the checkpoint was made with another list.
        """
        check_fingerprint(
            state_dict,
            prefix + 'answers_fingerprint',
            self.answers_fingerprint,
            'The checkpoint was made with another list of answers than the '
            f'{len(self.answers)} of the head: name the list of its own in '
            'model.head.answers.',
        )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, fused: FusionOutput) -> torch.Tensor:
        """The logit of each answer, (B, answers)."""
        return self.classifier(masked_mean(fused.tokens, fused.mask))

    def loss(self, fused: FusionOutput, data_samples: list) -> Dict[str, torch.Tensor]:
        """``loss_answer``, from the samples' answers."""
        logits = self(fused)
        targets = torch.zeros_like(logits)
        for row, sample in zip(targets, data_samples):
            shares: Counter = Counter()
            for answer, share in weighted_texts(sample, 'answer'):
                shares[normalize(answer)] += share
            for answer, share in shares.items():
                if answer in self.indices:
                    row[self.indices[answer]] = agreement(share)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='sum')
        return dict(loss_answer=loss / len(logits))

    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """The samples with ``pred_answer`` and its probability as
        ``pred_score``."""
        scores, classes = self(fused).sigmoid().max(dim=1)
        answers = [self.answers[i] for i in classes.tolist()]
        return store_texts(data_samples, 'answer', answers, scores.tolist())
