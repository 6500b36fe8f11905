"""Cross-attention from the text to the image in every layer."""

from typing import Optional

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS

from ...layers import CrossAttentionBlock
from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class CrossAttentionFusion(Fusion):
    """Text layers with cross-attention to the image.

    In every layer the text attends to itself, then to the image. The image is
    not updated. The fusion encoder of ALBEF (arXiv 2107.07651) works this way.

    Args:
        **kwargs: See ``Fusion``.
    """

    streams = ('text', 'image')

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.layers = self.make_layers(self.num_layers, CrossAttentionBlock)
        self.norm = nn.LayerNorm(self.embed_dims)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are the text tokens."""
        for layer in self.layers:
            text = self.run(layer, text, image, text_mask, image_mask)
        text = self.norm(text)
        return FusionOutput(text, mask_or_ones(text, text_mask), text, image)
