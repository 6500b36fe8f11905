"""Generation of a box as four tokens.

Notation of shapes: B is the batch size, n the number of generated coordinates.
"""

from typing import Any, Dict, List

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from ..fusion import FusionOutput
from .generation import TextGenerationHead

# A box is generated as centre x, centre y, width, height.
NUM_COORDINATES = 4


@MODELS.register_module()
class BoxGenerationHead(TextGenerationHead):
    """Generation of a box as four tokens: centre x, centre y, width, height.

    It follows mPLUG's released code. Coordinates are relative to the image size
    and quantised to ``num_bins`` steps. Unused tokens of the vocabulary
    represent them: ``[unused{first_token}]`` is the start token, and the next
    ``num_bins + 1`` tokens are the coordinates 0 to 1. The cross-entropy of
    each token is weighted by the distance of the most probable coordinate from
    the ground truth, and by 1 - GIoU of the most probable box.

    Args:
        num_bins (int): Number of steps from 0 to 1. Defaults to 336.
        first_token (int): Number of the first unused token. Defaults to 339.
        weighted (bool): Whether to weight the cross-entropy as above. Defaults
            to True.
        **kwargs: See ``TextGenerationHead``. ``decoder`` is required.

    Raises:
        ValueError: If the tokenizer lacks some of the box tokens.
    """

    def __init__(
        self,
        num_bins: int = 336,
        first_token: int = 339,
        weighted: bool = True,
        **kwargs,
    ) -> None:
        kwargs.setdefault('max_length', NUM_COORDINATES)
        super().__init__(field='box', **kwargs)
        names = [
            f'[unused{number}]'
            for number in range(first_token, first_token + num_bins + 2)
        ]
        vocabulary = self.tokenizer.get_vocab()
        missing = [name for name in names if name not in vocabulary]
        if missing:
            raise ValueError(
                f'The tokenizer {self.tokenizer.name_or_path!r} lacks '
                f'{len(missing)} of the {len(names)} box tokens, e.g. '
                f'{missing[0]}: reserve them with tools/dataset_converters/'
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
        """Compute the logits of the next coordinates.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            positions (torch.Tensor): Quantised first n coordinates, (B, n).

        Returns:
            torch.Tensor: Logits of the coordinates 1 to n + 1, (B, n + 1,
            num_bins + 1).
        """
        start = self.tokens[:1].expand(len(positions), 1)
        ids = torch.cat([start, self.tokens[1 + positions]], dim=1)
        logits = self.decoder(ids, use_cache=False, **self._memory(fused)).logits
        return logits[..., self.tokens[1:]].float()

    def loss(  # type: ignore[override]  # It has no soft targets.
        self, fused: FusionOutput, data_samples: list
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples, with ``gt_bboxes``,
                (1, 4) as x1, y1, x2, y2 in pixels of the input, and
                ``img_shape``, the height and width of the input.

        Returns:
            dict[str, torch.Tensor]: ``loss_box``.
        """
        boxes = torch.cat(
            [
                torch.as_tensor(sample.gt_bboxes, dtype=torch.float)
                / _xyxy_scale(sample.img_shape)
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
            predicted = logits.argmax(dim=2) / self.num_bins
            giou = ops.generalized_box_iou(
                ops.box_convert(predicted, 'cxcywh', 'xyxy'),
                ops.box_convert(boxes, 'cxcywh', 'xyxy'),
            ).diagonal()
            loss = loss * (predicted - boxes).abs() * (1 - giou)[:, None]
        return dict(loss_box=loss.mean())

    @torch.no_grad()
    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """Predict a box for each sample by greedy decoding.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples, with ``img_shape``. If
                a sample has a ``scale_factor``, the boxes are in pixels of the
                original image, and ``gt_bboxes`` is rescaled to it.

        Returns:
            list[DataSample]: The samples with ``pred_bboxes``, (1, 4) as x1,
            y1, x2, y2 in pixels, and the probability of the four tokens as
            ``pred_score``.
        """
        positions = self.tokens.new_zeros(len(data_samples), 0)
        scores = torch.zeros((), device=self.tokens.device)
        for _ in range(NUM_COORDINATES):
            log_probs = self.logits(fused, positions)[:, -1].log_softmax(dim=1)
            best, position = log_probs.max(dim=1)
            positions = torch.cat([positions, position[:, None]], dim=1)
            scores = scores + best
        boxes = require('torchvision.ops').box_convert(
            positions / self.num_bins, 'cxcywh', 'xyxy'
        )
        for sample, box, score in zip(
            data_samples, boxes.clamp(0, 1).cpu(), scores.exp().tolist()
        ):
            # The scale factor is (width, height), the image shape the reverse.
            scale = _xyxy_scale(sample.get('scale_factor', (1.0, 1.0))[::-1])
            box = box * _xyxy_scale(sample.img_shape) / scale
            sample.set_field(box[None], 'pred_bboxes')
            sample.set_field(score, 'pred_score')
            if 'gt_bboxes' in sample:
                sample.gt_bboxes = torch.as_tensor(sample.gt_bboxes) / scale
        return data_samples


def _xyxy_scale(size: tuple) -> torch.Tensor:
    """Convert (height, width) to a scale of boxes x1, y1, x2, y2, (4,)."""
    height, width = size[:2]
    return torch.tensor([width, height, width, height], dtype=torch.float)
