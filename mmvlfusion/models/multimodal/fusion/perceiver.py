"""Perceiver-style fusion: latents attend to the full inputs repeatedly."""

from typing import Optional

import torch
import torch.nn as nn
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ...layers import CrossAttention
from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class PerceiverFusion(Fusion):
    """Perceiver (arXiv 2103.03206) over two modalities, as in JAR's Figure 3c.

    In every iteration the latents attend to the full text and the full image.
    Then transformer layers run over the latents.

    JAR's re-implementation is not public. Two details are our reading: both
    modalities update the same N latents, text first, and ``num_layers`` is
    split over the iterations as in JAR.

    Args:
        num_latents (int): Number N of latents. Defaults to 64.
        num_iterations (int): Number of iterations. Defaults to 4.
        **kwargs: See ``Fusion``.
    """

    def __init__(
        self, num_latents: int = 64, num_iterations: int = 4, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        check_number('num_latents', num_latents, 1, integer=True)
        self.latents = nn.Parameter(torch.empty(1, num_latents, self.embed_dims))
        nn.init.normal_(self.latents)
        depths = self.layers_per_iteration(num_iterations)
        # Per iteration, one norm and one cross-attention for each modality.
        self.norms = ModuleList(
            ModuleList(nn.LayerNorm(self.embed_dims) for _ in range(2)) for _ in depths
        )
        self.reads = ModuleList(
            ModuleList(self._make_cross_attention() for _ in range(2)) for _ in depths
        )
        self.stages = ModuleList(self.make_layers(depth) for depth in depths)
        self.norm = nn.LayerNorm(self.embed_dims)

    def _make_cross_attention(self) -> CrossAttention:
        return CrossAttention(self.embed_dims, self.num_heads, drop_rate=self.drop_rate)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are the N latents."""
        tokens = self.latents.expand(text.shape[0], -1, -1)
        for norms, reads, layers in zip(self.norms, self.reads, self.stages):
            update = self.run(reads[0], norms[0](tokens), text, text_mask)
            tokens = tokens + update
            update = self.run(reads[1], norms[1](tokens), image, image_mask)
            tokens = tokens + update
            tokens = self.run_all(layers, tokens)
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask_or_ones(tokens))
