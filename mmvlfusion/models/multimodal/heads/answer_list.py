"""Base class of the heads that choose from a list of answers."""

from typing import Any, List, Optional, Sequence, Union

import torch
from mmengine.model import BaseModule

from mmvlfusion.utils.checks import check_number

from ...utils import check_fingerprint, fingerprint
from ..fusion import FusionOutput
from .answers import load_answers
from .sample_fields import store_texts


class AnswerListHead(BaseModule):
    """Base class of the heads that choose from a list of answers.

    Args:
        answers (str | Sequence[str]): The answers. See ``load_answers``.
        in_channels (int): Channels D of the fused tokens.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If the list is empty or has duplicates.
    """

    def __init__(
        self,
        answers: Union[str, Sequence[str]],
        in_channels: int,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        check_number('in_channels', in_channels, 1, integer=True)
        self.in_channels = in_channels
        self.answers = load_answers(answers)
        self.register_buffer('answers_fingerprint', fingerprint(self.answers))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Check that the checkpoint was made with the same answers.

        Raises:
            ValueError: If it was made with another list.
        """
        check_fingerprint(
            state_dict,
            prefix + 'answers_fingerprint',
            self.answers_fingerprint,
            'The checkpoint was made with another list of answers than the '
            f'{len(self.answers)} of the head: set model.head.answers to the '
            "checkpoint's list, in its order.",
        )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Compute the probabilities of the answers.

        Args:
            logits (torch.Tensor): Output of ``forward``, (B, answers).

        Returns:
            torch.Tensor: Shape (B, answers).
        """
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """Predict the most probable answers.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples.

        Returns:
            list[DataSample]: The samples with ``pred_answer`` and its
            probability as ``pred_score``.
        """
        scores, classes = self.probabilities(self(fused)).max(dim=1)
        answers = [self.answers[i] for i in classes.tolist()]
        return store_texts(data_samples, 'answer', answers, scores.tolist())
