"""No fusion: what a model reads that describes images."""

from typing import Optional

import torch

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class ImageOnlyFusion(Fusion):
    """The image's tokens, projected; there is no text. From these mPLUG writes
    captions. Other fusions begin with the same projection, so that their
    weights fit.

    Args:
        **kwargs: See ``Fusion``.
    """

    streams = ('image',)

    def fuse(
        self,
        text: None,
        image: torch.Tensor,
        text_mask: None,
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``; the tokens are those of the image."""
        return FusionOutput(image, mask_or_ones(image, image_mask), image=image)
