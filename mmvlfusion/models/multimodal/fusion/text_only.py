"""Baseline without an image."""

from typing import Optional

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class TextOnlyFusion(Fusion):
    """Transformer layers over the text only; the image is not read.

    The accuracy of a model with it shows how well answers can be guessed from
    the questions.

    Args:
        **kwargs: See ``Fusion``. ``image_channels`` and ``project_image`` are
            ignored.
    """

    streams = ('text',)
    reads_image = False

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.layers = self.make_layers(self.num_layers)
        self.norm = nn.LayerNorm(self.embed_dims)

    def forward(
        self,
        text: torch.Tensor,
        image: None = None,
        text_mask: Optional[torch.Tensor] = None,
        image_mask: None = None,
        image_index: None = None,
    ) -> FusionOutput:
        """See ``Fusion.forward``. The fused tokens are the text tokens."""
        text = self.norm(self.run_all(self.layers, text, text_mask))
        return FusionOutput(text, mask_or_ones(text, text_mask), text)
