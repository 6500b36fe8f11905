"""A box as four words of the decoder."""

from typing import Any, Dict, List

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from ..fusion import FusionOutput
from .generation import TextGenerationHead


@MODELS.register_module()
class BoxGenerationHead(TextGenerationHead):
    """Write a box, its centre, width and height, as four tokens of positions
    (as mPLUG's released code does).

    Positions are shares of the image's sides in ``num_bins`` steps. Tokens of
    the vocabulary that no text uses stand for them: ``[unused{first_token}]``
    begins, and the next ``num_bins + 1`` are the positions 0 to 1. The
    cross-entropy of each token is weighted by how far the likeliest position is
    from the right one, and that of the box by 1 - GIoU with the likeliest.

    Args:
        num_bins (int): Steps from 0 to 1. Defaults to 336.
        first_token (int): Number of the first token. Defaults to 339.
        weighted (bool): Whether the loss has these weights. Defaults to True.
        **kwargs: See ``TextGenerationHead``; ``decoder`` is needed.

    Raises:
        ValueError: If the tokenizer has no such tokens.
    """

    def __init__(
        self,
        num_bins: int = 336,
        first_token: int = 339,
        weighted: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(field='box', **kwargs)
        names = [
            f'[unused{number}]'
            for number in range(first_token, first_token + num_bins + 2)
        ]
        vocabulary = self.tokenizer.get_vocab()
        missing = [name for name in names if name not in vocabulary]
        if missing:
            raise ValueError(
                f'The tokenizer {self.tokenizer.name_or_path!r} has '
                f'{len(missing)} of the {len(names)} tokens for boxes not, as '
                f'{missing[0]}: reserve them by tools/dataset_converters/'
                'build_tokenizer.py --unused, or change num_bins and '
                'first_token.'
            )
        self.num_bins = num_bins
        self.weighted = weighted
        self.register_buffer(
            'tokens',
            torch.tensor([vocabulary[name] for name in names]),
            persistent=False,
        )

    def logits(self, fused: FusionOutput, positions: torch.Tensor) -> torch.Tensor:
        """Logits of the next positions, (B, n + 1, num_bins + 1), behind the
        first n positions (B, n)."""
        ids = torch.cat(
            [self.tokens[:1].expand(len(positions), 1), self.tokens[1 + positions]],
            dim=1,
        )
        logits = self.decoder(ids, use_cache=False, **self._memory(fused)).logits
        return logits[..., self.tokens[1:]].float()

    def loss(self, fused: FusionOutput, data_samples: list) -> Dict[str, torch.Tensor]:
        """``loss_box``, from the samples' ``gt_bboxes``, (1, 4) as corners in
        pixels of the input, and ``img_shape``."""
        boxes = torch.cat(
            [
                torch.as_tensor(sample.gt_bboxes, dtype=torch.float)
                / _corners(sample.img_shape)
                for sample in data_samples
            ]
        ).to(fused.tokens.device)
        ops = require('torchvision.ops')
        boxes = ops.box_convert(boxes.clamp(0, 1), 'xyxy', 'cxcywh')
        positions = (boxes * self.num_bins).floor().long()
        logits = self.logits(fused, positions[:, :-1])
        loss = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), positions, reduction='none'
        )
        if self.weighted:
            likeliest = logits.argmax(dim=2) / self.num_bins
            overlap = ops.generalized_box_iou(
                ops.box_convert(likeliest, 'cxcywh', 'xyxy'),
                ops.box_convert(boxes, 'cxcywh', 'xyxy'),
            ).diagonal()
            loss = loss * (likeliest - boxes).abs() * (1 - overlap)[:, None]
        return dict(loss_box=loss.mean())

    @torch.no_grad()
    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """The samples with ``pred_bboxes``, (1, 4) as corners in pixels, and
        the probability of its tokens as ``pred_score``. Where a sample has a
        ``scale_factor``, the pixels are the original image's, and
        ``gt_bboxes`` is turned into such."""
        positions = self.tokens.new_zeros(len(data_samples), 0)
        scores = 0.0
        for _ in range(4):
            chances = self.logits(fused, positions)[:, -1].log_softmax(dim=1)
            best, place = chances.max(dim=1)
            positions = torch.cat([positions, place[:, None]], dim=1)
            scores = scores + best
        boxes = require('torchvision.ops').box_convert(
            positions / self.num_bins, 'cxcywh', 'xyxy'
        )
        for sample, box, score in zip(
            data_samples, boxes.clamp(0, 1).cpu(), scores.exp().tolist()
        ):
            scale = _corners(sample.get('scale_factor', (1.0, 1.0))[::-1])
            sample.set_field(
                (box * _corners(sample.img_shape) / scale)[None], 'pred_bboxes'
            )
            sample.set_field(score, 'pred_score')
            if 'gt_bboxes' in sample:
                sample.gt_bboxes = torch.as_tensor(sample.gt_bboxes) / scale
        return data_samples


def _corners(size: tuple) -> torch.Tensor:
    """Height and width as what divides corners x, y, x, y."""
    height, width = size[:2]
    return torch.tensor([width, height, width, height], dtype=torch.float)
