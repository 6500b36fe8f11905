"""Classification head that reads the class token."""

from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ..fusion import FusionOutput
from .answer_list import AnswerListHead


@MODELS.register_module()
class ClassTokenHead(AnswerListHead):
    """Softmax classification of the first fused token, as in ALBEF (arXiv
    2107.07651, Section 5: SNLI-VE and NLVR2).

    Two linear layers with a ReLU between them compute the logits of the answers.

    Args:
        answers (str | Sequence[str]): The answers, in the order of the classes.
            See ``load_answers``.
        in_channels (int): Channels D of the fused tokens.
        alpha (float): Weight of the EMA model's prediction in the targets
            (Section 3.3). With a value above 0 the enclosing model needs an EMA
            model, see ``VisualQuestionAnswering``. Defaults to 0.
        tokenizer (object): Not used. It exists because the model passes its
            tokenizer to every head. Defaults to None.
        init_cfg (dict, optional): Initialisation. Defaults to None, PyTorch's
            initialisation.

    Raises:
        ValueError: If the list is empty or has duplicates.
    """

    def __init__(
        self,
        answers: Union[str, Sequence[str]],
        in_channels: int,
        alpha: float = 0.0,
        tokenizer: Any = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(answers, in_channels, init_cfg)
        check_number('alpha', alpha, 0, 1)
        self.alpha = alpha
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Linear(in_channels, len(self.answers)),
        )

    def forward(self, fused: FusionOutput) -> torch.Tensor:
        """Compute the logits of the answers.

        Args:
            fused (FusionOutput): The fused tokens of B samples.

        Returns:
            torch.Tensor: Shape (B, answers).
        """
        return self.classifier(fused.tokens[:, 0])

    def loss(
        self,
        fused: FusionOutput,
        data_samples: list,
        ema: Optional[Tuple['ClassTokenHead', FusionOutput]] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the cross-entropy.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples, with ``gt_answer``.
            ema (tuple[ClassTokenHead, FusionOutput], optional): The head of the
                EMA model and its fused tokens of the same samples. With it the
                targets are softened by ``alpha``. Defaults to None.

        Returns:
            dict[str, torch.Tensor]: ``loss_answer``.

        Raises:
            ValueError: If a sample has no answer, or one that is not in the
                list.
        """
        logits = self(fused)
        classes = [self._class_of(sample) for sample in data_samples]
        targets = torch.tensor(classes, device=logits.device)
        if ema is not None:
            head, ema_fused = ema
            with torch.no_grad():
                soft = head(ema_fused).softmax(dim=1)
            one_hot = F.one_hot(targets, logits.shape[1])
            targets = self.alpha * soft + (1 - self.alpha) * one_hot
        return dict(loss_answer=F.cross_entropy(logits, targets))

    def _class_of(self, sample: Any) -> int:
        """The class of a sample's answer."""
        answer = sample.get('gt_answer')
        if isinstance(answer, (list, tuple)) and len(answer) == 1:
            (answer,) = answer
        if answer not in self.answers:
            raise ValueError(
                f'Question {sample.get("question_id", "")} has the answer '
                f'{answer!r}, expected one of {self.answers}: set '
                'model.head.answers to the answers of the data.'
            )
        return self.answers.index(answer)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """See ``AnswerListHead.probabilities``."""
        return logits.softmax(dim=1)
