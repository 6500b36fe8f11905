"""Projection of the image for models without a text input."""

from typing import Optional

import torch

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class ImageOnlyFusion(Fusion):
    """Projection of the image tokens; there is no text.

    mPLUG generates captions from these tokens. The projection is that of the
    other fusions, so weights can be transferred.

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
        """See ``Fusion.fuse``. The fused tokens are the image tokens."""
        return FusionOutput(image, mask_or_ones(image, image_mask), image=image)
