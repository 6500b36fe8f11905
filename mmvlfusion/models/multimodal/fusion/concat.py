"""Self-attention over text and image in one sequence."""

from typing import Optional

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput, joint_mask


@MODELS.register_module()
class ConcatFusion(Fusion):
    """Self-attention over the concatenated text and image tokens.

    VisualBERT (arXiv 1908.03557) and ViLT (arXiv 2102.03334) work this way. It
    is the baseline of JAR's Table 3. Each modality has its own embedding.

    Args:
        **kwargs: See ``Fusion``.
    """

    streams = ('text', 'image')

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.modality = nn.Parameter(torch.empty(2, self.embed_dims))
        nn.init.trunc_normal_(self.modality, std=0.02)
        self.layers = self.make_layers(self.num_layers)
        self.norm = nn.LayerNorm(self.embed_dims)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are [text; image]."""
        tokens = torch.cat([text + self.modality[0], image + self.modality[1]], dim=1)
        mask, attn_mask = joint_mask((text, text_mask), (image, image_mask))
        tokens = self.norm(self.run_all(self.layers, tokens, attn_mask))
        length = text.shape[1]
        return FusionOutput(tokens, mask, tokens[:, :length], tokens[:, length:])
