"""Classification head that reads the class token."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ...utils import check_fingerprint, fingerprint
from ..fusion import FusionOutput
from .answers import load_answers
from .sample_fields import store_texts


@MODELS.register_module()
class ClassTokenHead(BaseModule):
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
        super().__init__(init_cfg)
        check_number('in_channels', in_channels, 1, integer=True)
        check_number('alpha', alpha, 0, 1)
        self.in_channels = in_channels
        self.alpha = alpha
        self.answers = load_answers(answers)
        self.register_buffer('answers_fingerprint', fingerprint(self.answers))
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, in_channels),
            nn.ReLU(),
            nn.Linear(in_channels, len(self.answers)),
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Check that the checkpoint was made with the same answers.

        Raises:
            ValueError: If it was made with another list.
        """
        check_fingerprint(
            state_dict,
            prefix + 'answers_fingerprint',
            self.answers_fingerprint,
            'The checkpoint was made with another list of answers than '
            f'{self.answers}: set model.head.answers to those of the checkpoint, in '
            'its order.',
        )
        super()._load_from_state_dict(state_dict, prefix, *args)

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
        scores, classes = self(fused).softmax(dim=1).max(dim=1)
        answers = [self.answers[i] for i in classes.tolist()]
        return store_texts(data_samples, 'answer', answers, scores.tolist())
