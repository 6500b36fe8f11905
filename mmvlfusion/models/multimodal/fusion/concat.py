"""Self-attention over text and image together."""
from typing import Optional

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput


@MODELS.register_module()
class ConcatFusion(Fusion):
    """The tokens of text and image in one sequence, as VisualBERT
    (arXiv 1908.03557) and ViLT (arXiv 2102.03334) have them: the
    baseline of JAR's Table 3. Each modality has an embedding of its own.

    Args:
        **kwargs: See ``Fusion``.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.modality = nn.Parameter(torch.empty(2, self.embed_dims))
        nn.init.trunc_normal_(self.modality, std=.02)
        self.layers = self.make_layers(self.num_layers)
        self.norm = nn.LayerNorm(self.embed_dims)

    def forward(self,
                text: torch.Tensor,
                image: torch.Tensor,
                text_mask: Optional[torch.Tensor] = None,
                image_mask: Optional[torch.Tensor] = None) -> FusionOutput:
        """See ``Fusion.forward``; the tokens are those of both, text first."""
        image, text_mask, image_mask = self.prepare(text, image, text_mask,
                                                    image_mask)
        tokens = torch.cat(
            [text + self.modality[0], image + self.modality[1]], dim=1)
        mask = torch.cat([text_mask, image_mask], dim=1)
        tokens = self.norm(self.run_all(self.layers, tokens, mask))
        length = text.shape[1]
        return FusionOutput(tokens, mask, tokens[:, :length],
                            tokens[:, length:])
