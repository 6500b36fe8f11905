"""Prefix language modelling conditioned on the image."""

from typing import List

import torch
from torch import nn

from mmvlfusion.registry import MODELS

from .base import ImageTextPairs, Objective, mean_over_ranks


@MODELS.register_module()
class PrefixLanguageObjective(Objective):
    """Generate the rest of a caption from its prefix and the image.

    It follows mPLUG (arXiv 2205.12005, Section 3.3), which adopts it from
    SimVLM. The fusion reads the prefix and the image; the model's head
    generates the rest. A downstream task that generates text starts from this
    head. The prefix length is drawn uniformly from 0 to the number of words
    minus one.

    Args:
        **kwargs: See ``Objective``.
    """

    generates = True

    def sample_prefix_lengths(self, pairs: ImageTextPairs) -> List[int]:
        """Sample the length of each prefix.

        Args:
            pairs (ImageTextPairs): The batch.

        Returns:
            list[int]: Number of words of the prefix of each caption.
        """
        return [
            int(torch.randint(len(caption.split()), ())) for caption in pairs.captions
        ]

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``. The loss is the mean over the generated
        tokens."""
        device = pairs.image.device
        lengths = self.sample_prefix_lengths(pairs)
        prefixes, suffixes = [], []
        for caption, length in zip(pairs.captions, lengths):
            words = caption.split()
            prefixes.append(' '.join(words[:length]))
            suffixes.append(' '.join(words[length:]))
        ids, mask = model.tokenize(prefixes, device)
        fused = model.fusion.fuse(
            model.text_encoder(ids, mask), pairs.image, mask, pairs.image_mask
        )
        targets = model.head.encode(suffixes, device)
        # The first target token is the start token, which is given.
        number = model.head.valid_mask(targets[:, 1:]).sum()
        return mean_over_ranks(-model.head(fused, targets).sum(), number)
