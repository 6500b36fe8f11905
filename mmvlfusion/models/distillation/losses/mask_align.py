"""Alignment of masked features, MaskAlign (arXiv 2211.08887)."""

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Iterator, List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number

from ...utils import recorded_outputs
from ..attention import attention_names, recorded_scores
from ..features import Features, check_equal_numbers, first_block
from .base import LayerLoss

MODES = ('attention', 'random')
# The released code multiplies the loss by 2.
SCALE = 2.0


class Targets(NamedTuple):
    """What is recorded of the teacher.

    Attributes:
        features (list[torch.Tensor]): Outputs of the upper blocks, (B, N, D) each.
        scores (list[torch.Tensor]): Attention scores of the last block, (B, heads,
            N, N), if the tokens are chosen by them.
    """

    features: List[torch.Tensor]
    scores: List[torch.Tensor]


class Masked(NamedTuple):
    """What is recorded of the student.

    Attributes:
        features (list[torch.Tensor]): Outputs of all blocks, (B, K, D) each.
        index (torch.Tensor): Indices of the K tokens that it reads, (B, K).
    """

    features: List[torch.Tensor]
    index: torch.Tensor


@MODELS.register_module()
class MaskAlignLoss(LayerLoss):
    """Smooth L1 distance of a student that reads few patches to its teacher.

    The student runs once more, on the class token and a part of the patches, while
    the teacher reads all of them. All block outputs of the student are mixed by a
    learned matrix, and projected by one linear layer for each of the upper blocks of
    the teacher (dynamic alignment, Section 3.2). The outputs of the teacher are
    normalised by a layer norm without parameters.

    Args:
        features (str | Iterable[str] | dict[str, str]): The blocks, see
            ``pair_layers``.
        in_channels (int): Channels D of the student's tokens.
        out_channels (int, optional): Channels of the teacher's tokens. Defaults to
            ``in_channels``.
        keep (float): Part of the patches that the student reads, above 0 and at most
            1. With 1 there is no additional pass, which also suits other models than
            ViT. Defaults to 0.3.
        mode (str): How the patches are chosen: ``'attention'``, drawn without
            replacement by the attention of the class token in the last block of the
            teacher, or ``'random'``. Defaults to ``'attention'``.
        top (int): Number of upper blocks of the teacher that are compared. Defaults
            to 5.
        weight (float): Weight of the loss. Defaults to 1.

    Raises:
        ValueError: If ``keep``, ``mode`` or ``top`` is not valid.
    """

    def __init__(
        self,
        features: Features,
        in_channels: int,
        out_channels: Optional[int] = None,
        keep: float = 0.3,
        mode: str = 'attention',
        top: int = 5,
        weight: float = 1.0,
    ) -> None:
        super().__init__(features, weight)
        check_choice('mode', mode, MODES)
        check_number('keep', keep, 0, 1, above=True)
        check_number('top', top, 1, integer=True)
        self.in_channels = in_channels
        self.out_channels = out_channels or in_channels
        self.keep = keep
        self.mode = mode
        self.top = top
        self.has_own_pass = keep < 1
        self.num_prefix_tokens = 0
        self._attention: List[str] = []

    def connect(self, student: nn.Module, teacher: nn.Module) -> None:
        """See ``DistillationLoss``.

        Raises:
            ValueError: If the student cannot read a part of the patches.
        """
        super().connect(student, teacher)
        ours, theirs = self._student_layers, self._teacher_layers
        self._teacher_layers = theirs[-self.top :]
        # Starts near the pairs of layers.
        mix = torch.eye(len(ours))[-self.top :] + 0.01
        self.mix = nn.Parameter(mix)
        self.fits = nn.ModuleList(
            nn.Linear(self.in_channels, self.out_channels) for _ in mix
        )
        if not self.has_own_pass:
            return
        for owner, model, name in (
            ('student', student, ours[0]),
            ('teacher', teacher, theirs[-1]),
        ):
            encoder: Any = model.get_submodule(name.rsplit('.', 2)[0])
            tokens = getattr(encoder, 'num_extra_tokens', None)
            if tokens is None or getattr(encoder, 'out_type', None) == 'featmap':
                raise ValueError(
                    f'keep={self.keep} needs a ViT whose output is not a map, but '
                    f'{name} of the {owner} belongs to {type(encoder).__name__}: set '
                    "out_type to 'cls_token', 'avg_featmap' or 'raw', or keep=1.0."
                )
            self.num_prefix_tokens = tokens
        if self.mode == 'attention':
            if not self.num_prefix_tokens:
                raise ValueError(
                    "mode='attention' needs a class token in the teacher: set "
                    "mode='random'."
                )
            self._attention = attention_names(teacher, theirs[-1:])

    def record_student(self, student: nn.Module) -> AbstractContextManager[Any]:
        """See ``DistillationLoss``; without masking, yields the outputs of the
        blocks."""
        return nullcontext([]) if self.has_own_pass else super().record_student(student)

    @contextmanager
    def record_teacher(self, teacher: nn.Module) -> Iterator[Targets]:
        """See ``DistillationLoss``; yields outputs and attention scores."""
        with (
            recorded_outputs(teacher, self._teacher_layers) as features,
            recorded_scores(teacher, self._attention) as scores,
        ):
            yield Targets(features, scores)

    @contextmanager
    def own_pass(self, student: nn.Module, targets: Targets) -> Iterator[Masked]:
        """See ``DistillationLoss``; yields the outputs of the blocks."""
        index = self.choose_tokens(targets)
        block = student.get_submodule(first_block(self._student_layers[0]))
        handle = block.register_forward_pre_hook(
            lambda module, args: (_gather(args[0], index), *args[1:])
        )
        try:
            with recorded_outputs(student, self._student_layers) as features:
                yield Masked(features, index)
        finally:
            handle.remove()

    @torch.no_grad()
    def choose_tokens(self, targets: Targets) -> torch.Tensor:
        """Draw the tokens that the student reads.

        Args:
            targets (Targets): What is recorded of the teacher.

        Returns:
            torch.Tensor: Their indices, class and distillation token first, (B, K).
        """
        tokens = targets.features[0]
        first = self.num_prefix_tokens
        if self.mode == 'attention':
            # Attention of the class token to the patches, mean of the heads.
            weights = targets.scores[0][:, :, 0].softmax(-1)[..., first:].mean(1)
        else:
            weights = torch.ones(
                len(tokens), tokens.shape[1] - first, device=tokens.device
            )
        number = max(1, int(weights.shape[1] * self.keep))
        patches = torch.multinomial(weights, number).sort(dim=1).values + first
        prefix = torch.arange(first, device=patches.device).expand(len(patches), -1)
        return torch.cat([prefix, patches], dim=1)

    def forward(self, features: Any, targets: Targets) -> torch.Tensor:
        """Compute the loss.

        Args:
            features (Masked | list[torch.Tensor]): Outputs of the student.
            targets (Targets): Outputs of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If the numbers or the shapes of the outputs differ.
        """
        expected = targets.features
        if isinstance(features, Masked):
            expected = [_gather(x, features.index) for x in expected]
            features = features.features
        check_equal_numbers(features, self._student_layers)
        shapes = {tuple(x.shape) for x in features}
        if len(shapes) > 1 or features[0].shape[2] != self.in_channels:
            raise ValueError(
                f'The blocks of the student return the shapes {sorted(shapes)}, but '
                f'MaskAlignLoss mixes tokens of in_channels={self.in_channels}: '
                'choose blocks of one width by features, and set in_channels to it.'
            )
        stacked = torch.stack(list(features)).flatten(1)
        mixed = (self.mix.to(stacked.dtype) @ stacked).unflatten(1, features[0].shape)
        losses = []
        for x, fit, target in zip(mixed, self.fits, expected):
            x = fit(x).float()
            target = F.layer_norm(target.float(), target.shape[-1:])
            if x.shape != target.shape:
                raise ValueError(
                    f'A block of the teacher returns the shape {tuple(target.shape)}, '
                    f'the projected student {tuple(x.shape)}: set out_channels to the '
                    "teacher's channels, and equal patches in both."
                )
            losses.append(SCALE * F.smooth_l1_loss(x, target))
        return torch.stack(losses).mean()


def _gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The tokens (B, K, D) of (B, N, D) with some indices."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
