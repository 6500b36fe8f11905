"""Assignment of a caption to one of two images."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import ImageTextPairs, Objective

# Share of the captions to which none of the two images belongs.
NEITHER_SHARE = 1 / 3
TEMPERATURE = 0.07
# Classes of the assignment.
FIRST, SECOND, NEITHER = range(3)


@MODELS.register_module()
class TextAssignmentObjective(Objective):
    """Decide which of two images a caption describes (ALBEF, arXiv 2107.07651,
    Section 5, NLVR2).

    It trains a fusion of two images. A caption is read with its image and a
    similar one, in random order, or, in a third of the cases, with two other
    images. The classes are the first image, the second, and neither. Similar
    images are drawn by the features of the contrastive objective of the
    pre-training, whose projection is not trained further. Give the objective the
    name of that one, such as ``contrastive``, so that a checkpoint initialises
    the projection.

    Args:
        feature_dims (int): Channels of the features. Defaults to 256.
        **kwargs: See ``Objective``.
    """

    streams = ('text',)

    def __init__(self, feature_dims: int = 256, **kwargs) -> None:
        super().__init__(**kwargs)
        check_number('feature_dims', feature_dims, 1, integer=True)
        self.image_proj = nn.Linear(self.embed_dims, feature_dims).requires_grad_(False)
        self.head = nn.Linear(self.embed_dims, 3)

    def connect(self, model: nn.Module) -> None:
        """See ``Objective.connect``.

        Raises:
            ValueError: If the fusion does not read two images.
        """
        number = getattr(model.fusion, 'num_images', 1)
        if number != 2:
            raise ValueError(
                f'TextAssignmentObjective needs an AlbefFusion of two images, but '
                f'{type(model.fusion).__name__} reads {number}: set '
                'fusion.num_images=2.'
            )

    def sample_images(
        self, pairs: ImageTextPairs
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample two images for each caption.

        Args:
            pairs (ImageTextPairs): The batch.

        Returns:
            tuple[torch.Tensor, torch.Tensor, torch.Tensor]: Indices of the first
            and the second images, and the classes, (B) each.

        Raises:
            ValueError: If a batch has fewer than three images.
        """
        with torch.no_grad():
            features = F.normalize(self.image_proj(pairs.image[:, 0]).float(), dim=1)
            logits = features @ features.T / TEMPERATURE
        same = pairs.image_ids[:, None] == pairs.image_ids
        if ((~same).sum(dim=1) < 2).any():
            raise ValueError(
                f'A batch of {len(same)} captions has fewer than three images: '
                'increase the batch_size of train_dataloader.'
            )
        weights = logits.masked_fill(same, -torch.inf).softmax(dim=1)
        one, two = torch.multinomial(weights, 2).unbind(dim=1)
        own = torch.arange(len(one), device=one.device)
        neither = torch.rand(len(one), device=one.device) < NEITHER_SHARE
        own_first = torch.rand(len(one), device=one.device) < 0.5
        first = torch.where(neither | ~own_first, one, own)
        second = torch.where(own_first, one, own).where(~neither, two)
        classes = torch.where(own_first, FIRST, SECOND).masked_fill(neither, NEITHER)
        return first, second, classes

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``."""
        first, second, classes = self.sample_images(pairs)
        image = torch.cat([pairs.image[first], pairs.image[second]], dim=1)
        mask = None
        if pairs.image_mask is not None:
            mask = torch.cat([pairs.image_mask[first], pairs.image_mask[second]], 1)
        fused = model.fusion.fuse(pairs.text, image, pairs.text_mask, mask)
        return F.cross_entropy(self.head(fused.text[:, 0]), classes)
