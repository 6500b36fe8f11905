"""Prefix language modelling with the image."""

from typing import List

import torch
from torch import nn

from mmvlfusion.registry import MODELS

from .base import ImageTextPairs, Objective, mean_over_ranks


@MODELS.register_module()
class PrefixLanguageObjective(Objective):
    """Go on writing a caption, of which the fusion sees a beginning beside the
    image (mPLUG, arXiv 2205.12005, Section 3.3, after SimVLM).

    The model's head writes, so that a task which generates text starts from it.
    The beginning has at least no words and at most all but the last.

    Args:
        **kwargs: See ``Objective``.
    """

    generates = True

    def sample_prefix_lengths(self, pairs: ImageTextPairs) -> List[int]:
        """The number of words with which each caption begins."""
        return [
            int(torch.randint(len(caption.split()), ())) for caption in pairs.captions
        ]

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective``; the mean over the tokens that are written."""
        words = [caption.split() for caption in pairs.captions]
        cuts = self.sample_prefix_lengths(pairs)
        ids, mask = model.tokenize(
            [' '.join(all[:cut]) for all, cut in zip(words, cuts)], pairs.image.device
        )
        fused = model.fusion.fuse(
            model.text_encoder(ids, mask), pairs.image, mask, pairs.image_mask
        )
        targets = model.head.encode(
            [' '.join(all[cut:]) for all, cut in zip(words, cuts)], pairs.image.device
        )
        return mean_over_ranks(
            -model.head(fused, targets).sum(),
            model.head.valid_mask(targets[:, 1:]).sum(),
        )
