"""Iterative co-tokenization: text-conditioned image tokens per iteration."""

from typing import Optional

import torch
import torch.nn as nn
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import Fusion, FusionOutput, joint_mask, masked_mean
from .resamplers import SpatialResampler


@MODELS.register_module()
class CoTokenizationFusion(Fusion):
    """Iterative video-text co-tokenization (arXiv 2208.00934) for one image.

    Every iteration learns N new image tokens by a TokenLearner that is
    conditioned on the current text. It appends them to the text and runs
    transformer layers over both.

    The authors' code is not public. Two details are our reading: the mean of
    the text is added within the network that predicts TokenLearner's weights,
    and ``num_layers`` is split over the iterations.

    Args:
        num_latents (int): Number N of image tokens. Defaults to 64.
        num_iterations (int): Number of iterations. Defaults to 4.
        **kwargs: See ``Fusion``.
    """

    streams = ('text',)

    def __init__(
        self, num_latents: int = 64, num_iterations: int = 4, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        check_number('num_latents', num_latents, 1, integer=True)
        depths = self.layers_per_iteration(num_iterations)
        self.tokenizers = ModuleList(
            SpatialResampler(self.embed_dims, num_latents, conditioned=True)
            for _ in depths
        )
        self.stages = ModuleList(self.make_layers(depth) for depth in depths)
        self.norm = nn.LayerNorm(self.embed_dims)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are the text tokens, then the N
        image tokens of the last iteration."""
        for tokenizer, layers in zip(self.tokenizers, self.stages):
            condition = masked_mean(text, text_mask)
            learned = self.run(tokenizer, image, image_mask, condition)
            mask, attn_mask = joint_mask((text, text_mask), (learned, None))
            tokens = self.run_all(layers, torch.cat([text, learned], dim=1), attn_mask)
            text = tokens[:, : text.shape[1]]
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask, tokens[:, : text.shape[1]])
