"""Weakly supervised visual grounding by Grad-CAM.

Notation of shapes:

    ====  ==========================================
    B     images of a batch
    Q     expressions of a batch
    L     tokens of an expression
    M     tokens of an image
    H W   height and width of an image in pixels
    h w   height and width of a map
    ====  ==========================================
"""

import math
from typing import Any, List, Optional, Sequence

import torch
import torch.nn.functional as F

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..utils import recorded_attention
from .fusion import mask_or_ones, select_rows
from .objectives import MatchingObjective
from .pretraining import VisionLanguagePretraining

SCORES = ('matching', 'contrastive')


@MODELS.register_module()
class GradCAMGrounding(VisionLanguagePretraining):
    """Grounding without boxes in training, as in ALBEF (arXiv 2107.07651, Section
    6.4).

    The model is trained like retrieval, on images with their referring
    expressions. In prediction the gradient of a score with respect to the weights
    of one attention, clamped at 0, is multiplied by these weights. The mean over
    the heads (and the words) is a map of the image. Of the boxes that a detector
    found, the one with the highest sum of the map within it, divided by the
    square root of its area, is predicted.

    A sample has ``text``, ``det_bboxes``, the boxes of the detector, (n, 4) as x1,
    y1, x2, y2 in pixels of the original image, and ``ori_shape``.

    Args:
        score (str): ``'matching'``, the logit of a match, or ``'contrastive'``,
            the similarity divided by the temperature. Defaults to
            ``'matching'``.
        attention (str): Name of the attention: a cross-attention of the fusion
            for the matching, a self-attention of the backbone for the
            contrastive score, which the class token reads. Defaults to
            ``'fusion.layers.2.cross_attn'``; the authors use layer 8 of twelve
            for both.
        **kwargs: See ``VisionLanguagePretraining``.

    Raises:
        ValueError: If there is no contrastive or no matching objective, the
            attention does not exist, or the contrastive score does not read a
            class token.
    """

    #: Fields that the samples of evaluation sets must have, and the option of the
    #: data set that adds them.
    required_fields = {'det_bboxes': 'det_file'}

    def __init__(
        self,
        score: str = 'matching',
        attention: str = 'fusion.layers.2.cross_attn',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_choice('score', score, SCORES)
        names = self.names_of(MatchingObjective)
        if self.contrastive is None or not names:
            raise ValueError(
                'Grounding by Grad-CAM needs a ContrastiveObjective and a '
                f'MatchingObjective, but objectives has {list(self.objectives)}.'
            )
        self.matching = names[0]
        pool = self.objectives[self.contrastive].pool
        if score == 'contrastive' and pool != 'first':
            raise ValueError(
                "score='contrastive' reads the class token of a ViT, but "
                f"the ContrastiveObjective has pool={pool!r}: set pool='first', or "
                "score='matching'."
            )
        modules = dict(self.named_modules())
        if attention not in modules:
            kinds = ('.cross_attn', '.attn')
            end = kinds[score == 'contrastive']
            found = [n for n in modules if n.endswith(end) and 'ema_model' not in n]
            raise ValueError(
                f'attention={attention!r} is not a module of the model: choose one '
                f'of {found}.'
            )
        self.score = score
        self.attention = attention

    def forward(
        self,
        images: torch.Tensor,
        data_samples: List[Any],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Any:
        """Compute the losses or maps, or predict boxes.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            data_samples (list[DataSample]): One per expression. See the class,
                and ``VisionLanguagePretraining.forward`` for training.
            image_index (torch.Tensor, optional): Index of the image of each
                expression, (Q). Defaults to None, one expression per image.
            image_mask (torch.Tensor, optional): True at valid pixels, (B, H,
                W), in training. Defaults to None, all.
            mode (str): ``'loss'``, ``'tensor'`` or ``'predict'``. Defaults to
                ``'tensor'``.

        Returns:
            dict | torch.Tensor | list[DataSample]: The losses; the maps, (Q, h,
            w); or the samples with ``pred_bboxes``, (1, 4) in pixels of the
            original image, all zeros if no box has a positive score.
        """
        check_choice('mode', mode, ('loss', 'tensor', 'predict'))
        if mode == 'loss':
            return super().forward(images, data_samples, image_index, image_mask, mode)
        texts = [sample.text for sample in data_samples]
        maps = self.maps(images, texts, image_index)
        if mode == 'tensor':
            return maps
        for sample, values in zip(data_samples, maps):
            _predict(sample, values)
        return data_samples

    def maps(
        self,
        images: torch.Tensor,
        texts: List[str],
        image_index: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Compute the maps of expressions.

        Args:
            images (torch.Tensor): Square images, (B, 3, H, W).
            texts (list[str]): The Q expressions.
            image_index (torch.Tensor, optional): Index of the image of each
                expression, (Q). Defaults to None, one expression per image.

        Returns:
            torch.Tensor: Shape (Q, h, w).
        """
        ids, mask = self.tokenize(texts, images.device)
        module = self.get_submodule(self.attention)
        with torch.enable_grad(), recorded_attention(module) as recorded:
            image, _ = self.fusion.prepare_image(*self.encode_images(images))
            (image,) = select_rows(image_index, image)
            text = self.text_encoder(ids, mask)
            if self.score == 'matching':
                fused = self.fusion.fuse(text, image, mask, None)
                total = self.objectives[self.matching].logits(fused.text)[:, 1].sum()
            else:
                contrastive = self.objectives[self.contrastive]
                similarity = contrastive.image_feature(
                    image
                ) * contrastive.text_feature(text)
                total = (similarity / contrastive.temperature).sum()
            (weights,) = recorded
            (gradient,) = torch.autograd.grad(total, weights)
        # (B, heads, queries, keys) -> (B, queries, keys)
        maps = (weights.detach() * gradient.clamp(min=0)).mean(dim=1)
        if self.score == 'matching':
            words = mask_or_ones(text, mask)
            maps = (maps * words[..., None]).mean(dim=1)
        else:
            (maps,) = select_rows(image_index, maps[:, 0])
        return _square(maps)


def _square(maps: torch.Tensor) -> torch.Tensor:
    """Arrange the tokens of square images, without a class token, (Q, M) ->
    (Q, h, w)."""
    number = maps.shape[1]
    if math.isqrt(number) ** 2 != number:
        maps = maps[:, 1:]
    side = math.isqrt(maps.shape[1])
    if side**2 != maps.shape[1]:
        raise ValueError(
            f'Grad-CAM needs the tokens of a square image, but there are {number}: '
            'add Resize to one height and width to the pipeline.'
        )
    return maps.unflatten(1, (side, side))


def _predict(sample: Any, values: torch.Tensor) -> None:
    """Add the predicted box to a sample, and rescale its true box."""
    boxes = sample.get('det_bboxes')
    if boxes is None:
        raise ValueError(
            f'The sample of {sample.get("img_path", "")} has no det_bboxes: set '
            "det_file of the data set, and add 'det_bboxes' to the algorithm_keys of "
            "the pipeline's last step."
        )
    best = best_box(values, boxes, sample.ori_shape)
    sample.set_field(best[None], 'pred_bboxes')
    if 'gt_bboxes' in sample and 'scale_factor' in sample:
        scale = torch.tensor([*sample.scale_factor, *sample.scale_factor])
        sample.gt_bboxes = torch.as_tensor(sample.gt_bboxes) / scale


def best_box(
    values: torch.Tensor, boxes: Sequence[Sequence[float]], size: Sequence[int]
) -> torch.Tensor:
    """Choose the box with the highest sum of a map, by the root of its area.

    Args:
        values (torch.Tensor): The map, (h, w).
        boxes (Sequence[Sequence[float]]): Boxes as x1, y1, x2, y2 in pixels.
        size (Sequence[int]): Height and width of the image in pixels.

    Returns:
        torch.Tensor: The box, (4); zeros if no score is positive.
    """
    resized = F.interpolate(values[None, None], tuple(size[:2]), mode='bicubic')[0, 0]
    best, highest = torch.zeros(4, dtype=torch.float64), 0.0
    for x1, y1, x2, y2 in boxes:
        total = resized[int(y1) : int(y2), int(x1) : int(x2)].sum().item()
        area = (x2 - x1) * (y2 - y1)
        if area > 0 and total / area**0.5 > highest:
            highest = total / area**0.5
            best = torch.tensor([x1, y1, x2, y2], dtype=torch.float64)
    return best
