"""Image-text matching."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from ..fusion import select_rows
from .base import ImageTextPairs, Objective


@MODELS.register_module()
class MatchingObjective(Objective):
    """Classify whether a caption matches an image (ALBEF, arXiv 2107.07651,
    Eq. 4).

    For each pair there are two negatives: its image with a wrong caption, and
    its caption with a wrong image, both from the batch of the rank. They are
    sampled by the softmax of the similarities that a contrastive objective
    computes, so hard negatives are more likely. Without such an objective the
    sampling is uniform.

    Args:
        **kwargs: See ``Objective``.
    """

    streams = ('text',)
    uses_similarity = True

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        require('mmpretrain.models')
        self.head = MODELS.build(
            dict(
                type='mmpretrain.ITMHead',
                hidden_size=self.embed_dims,
                with_pooler=False,
            )
        )

    def logits(self, text: torch.Tensor) -> torch.Tensor:
        """Compute the matching logits.

        Args:
            text (torch.Tensor): Text stream of the fusion, (B, L, D).

        Returns:
            torch.Tensor: Logits of no match and match, (B, 2).
        """
        return self.head((text[:, 0],))

    def sample_negatives(
        self, pairs: ImageTextPairs
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Sample a wrong caption for each image and a wrong image for each
        caption.

        Args:
            pairs (ImageTextPairs): The batch.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: Indices of the captions and of
            the images, (B) each.

        Raises:
            ValueError: If all pairs of the batch show one image.
        """
        same = pairs.image_ids[:, None] == pairs.image_ids
        if same.all(dim=1).any():
            raise ValueError(
                f'All {len(same)} pairs of a batch show one image, so there are '
                'no negatives for the matching: increase the batch_size of '
                'train_dataloader.'
            )
        if pairs.similarity is None:
            to_captions = to_images = torch.zeros_like(same, dtype=torch.float)
        else:
            to_captions, to_images = pairs.similarity
        captions = _sample_columns(to_captions.float().masked_fill(same, -torch.inf))
        images = _sample_columns(to_images.float().masked_fill(same, -torch.inf))
        return captions, images

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``."""
        negative_captions, negative_images = self.sample_negatives(pairs)
        own = torch.arange(len(negative_captions), device=negative_captions.device)
        # B matching pairs, B with a wrong caption, B with a wrong image.
        captions = torch.cat([own, negative_captions, own])
        images = torch.cat([own, own, negative_images])
        text, text_mask = select_rows(captions, pairs.text, pairs.text_mask)
        image, image_mask = select_rows(images, pairs.image, pairs.image_mask)
        fused = model.fusion.fuse(text, image, text_mask, image_mask)
        targets = torch.zeros_like(captions)
        targets[: len(own)] = 1
        return F.cross_entropy(self.logits(fused.text), targets)


def _sample_columns(logits: torch.Tensor) -> torch.Tensor:
    """Sample a column of each row, (B, B) -> (B)."""
    return torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
