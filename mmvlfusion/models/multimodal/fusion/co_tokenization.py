"""New tokens of the image in every iteration, chosen by what is known."""

from typing import Optional

import torch
import torch.nn as nn
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS

from .base import Fusion, FusionOutput, joint_mask, masked_mean
from .resamplers import SpatialResampler


@MODELS.register_module()
class CoTokenizationFusion(Fusion):
    """Iterative video-text co-tokenization (arXiv 2208.00934) for one image.

    Every iteration learns N new tokens of the image, by TokenLearner under the
    condition of the text so far, puts them after the text, and runs transformer
    layers over both. The conditioning (the mean of the text is added within the
    net of the weights) and sharing ``num_layers`` out over the iterations are
    our reading; the authors' form is not public.

    Args:
        num_latents (int): Number N of tokens of the image. Defaults to 64.
        num_iterations (int): Iterations. Defaults to 4.
        **kwargs: See ``Fusion``.
    """

    streams = ('text',)

    def __init__(
        self, num_latents: int = 64, num_iterations: int = 4, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        shares = self.layers_per_iteration(num_iterations)
        self.tokenizers = ModuleList(
            SpatialResampler(self.embed_dims, num_latents, conditioned=True)
            for _ in shares
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
        """See ``Fusion.fuse``; the tokens are those of the text, then the N
        last ones of the image."""
        for tokenizer, layers in zip(self.tokenizers, self.stages):
            learned = self.run(
                tokenizer, image, image_mask, masked_mean(text, text_mask)
            )
            mask, attn_mask = joint_mask((text, text_mask), (learned, None))
            tokens = self.run_all(layers, torch.cat([text, learned], dim=1), attn_mask)
            text = tokens[:, : text.shape[1]]
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask, tokens[:, : text.shape[1]])
