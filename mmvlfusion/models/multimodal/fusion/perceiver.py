"""Latents that read the full inputs again in every iteration."""

from typing import Optional

import torch
import torch.nn as nn
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS

from ...layers import CrossAttention
from .base import Fusion, FusionOutput, mask_or_ones


@MODELS.register_module()
class PerceiverFusion(Fusion):
    """Perceiver (arXiv 2103.03206) over two modalities, as JAR's Figure 3c
    shows it: in every iteration the latents attend to the full text and the
    full image, then transformer layers run over the latents.

    That both modalities write into the same N latents, one after the other, and
    that ``num_layers`` are shared out over the iterations as in JAR, is our
    reading; the paper's re-implementation is not public.

    Args:
        num_latents (int): Number N of latents. Defaults to 64.
        num_iterations (int): Iterations. Defaults to 4.
        **kwargs: See ``Fusion``.
    """

    def __init__(
        self, num_latents: int = 64, num_iterations: int = 4, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.latents = nn.Parameter(torch.empty(1, num_latents, self.embed_dims))
        nn.init.normal_(self.latents)
        shares = self.layers_per_iteration(num_iterations)
        self.norms, self.reads = (
            ModuleList(ModuleList(make() for _ in range(2)) for _ in shares)
            for make in (
                lambda: nn.LayerNorm(self.embed_dims),
                lambda: CrossAttention(
                    self.embed_dims, self.num_heads, drop_rate=self.drop_rate
                ),
            )
        )
        self.stages = ModuleList(map(self.make_layers, shares))
        self.norm = nn.LayerNorm(self.embed_dims)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``; the tokens are the N latents."""
        tokens = self.latents.expand(len(text), -1, -1)
        for norms, reads, layers in zip(self.norms, self.reads, self.stages):
            for norm, read, memory, mask in zip(
                norms, reads, (text, image), (text_mask, image_mask)
            ):
                tokens = tokens + self.run(read, norm(tokens), memory, mask)
            tokens = self.run_all(layers, tokens)
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask_or_ones(tokens))
