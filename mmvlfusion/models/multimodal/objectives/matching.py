"""Image-text matching."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from .base import ImageTextPairs, Objective


@MODELS.register_module()
class MatchingObjective(Objective):
    """Tell whether a caption belongs to an image (ALBEF, arXiv 2107.07651,
    equation 2).

    Beside each pair stand its image with a wrong caption and its caption with a
    wrong image, both of the batch of the rank. They are drawn by the similarity
    that a contrastive objective measures, so that hard ones are likelier, and
    evenly without one.

    Args:
        **kwargs: See ``Objective``.
    """

    streams = ('text',)

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
        """Logits, (B, 2), against and for a match, from the text stream of the
        fusion (B, L, D)."""
        return self.head((text[:, 0],))

    def sample_negatives(
        self, pairs: ImageTextPairs
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """A wrong caption for each image and a wrong image for each caption,
        (B) each.

        Raises:
            ValueError: If all pairs of the batch show one image.
        """
        same = pairs.image_ids[:, None] == pairs.image_ids
        if same.all(dim=1).any():
            raise ValueError(
                f'All {len(same)} pairs of a batch show one image, so none can '
                'be matched wrongly: raise the batch_size of train_dataloader.'
            )
        if pairs.similarity is None:
            similarity = torch.zeros_like(same, dtype=torch.float)
        else:
            similarity = pairs.similarity.float()
        return tuple(
            torch.multinomial(logits.masked_fill(same, -torch.inf).softmax(dim=1), 1)[
                :, 0
            ]
            for logits in (similarity, similarity.T)
        )

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective``."""
        captions, images = self.sample_negatives(pairs)
        own = torch.arange(len(captions), device=captions.device)
        captions = torch.cat([own, captions, own])
        images = torch.cat([own, own, images])
        masks = (
            None if mask is None else mask[index]
            for mask, index in ((pairs.text_mask, captions), (pairs.image_mask, images))
        )
        fused = model.fusion.fuse(pairs.text[captions], pairs.image[images], *masks)
        targets = (torch.arange(len(images), device=own.device) < len(own)).long()
        return F.cross_entropy(self.logits(fused.text), targets)
