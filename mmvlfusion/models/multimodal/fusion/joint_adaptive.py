"""The fusion of few joint tokens (JAR, arXiv 2305.19924)."""

from typing import Optional, Tuple

import torch
import torch.nn as nn
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ...layers import CrossAttention
from .base import Fusion, FusionOutput, mask_or_ones
from .resamplers import LatentResampler, SpatialResampler

RESAMPLERS = ('latent', 'spatial')
COMBINATIONS = ('none', 'residual', 'weighted')


class GatedCrossAttention(nn.Module):
    """P = LN(t) + tanh(a) MHA(LN(t), LN(f)); F = P + tanh(b) MLP(P) (Eq. 3).

    The residual of the first sum starts from LN(t), as the paper has it.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Attention heads.
        ffn_ratio (float): Hidden width of the MLP over D.
        drop_rate (float): Dropout after projections.
        combination (str): ``'weighted'``, the equation; ``'residual'``, the
            attention without its gate; ``'none'``, P is the attention alone.
        gated (bool): Whether there are gates at all.
        gate_init (float): Initial a and b.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        ffn_ratio: float,
        drop_rate: float,
        combination: str,
        gated: bool,
        gate_init: float,
    ) -> None:
        super().__init__()
        self.norm_text = nn.LayerNorm(embed_dims)
        self.norm_image = nn.LayerNorm(embed_dims)
        self.attn = CrossAttention(embed_dims, num_heads, drop_rate=drop_rate)
        self.ffn = FFN(
            embed_dims,
            int(embed_dims * ffn_ratio),
            act_cfg=dict(type='GELU'),
            ffn_drop=drop_rate,
            add_identity=False,
        )
        self.combination = combination
        self.attn_gate, self.ffn_gate = (
            nn.Parameter(torch.full((1,), gate_init)) if wanted else None
            for wanted in (gated and combination == 'weighted', gated)
        )

    def forward(self, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Join latents of text and image, (B, N, D) each, to (B, N, D)."""
        text = self.norm_text(text)
        update = _gate(self.attn(text, self.norm_image(image)), self.attn_gate)
        joint = update if self.combination == 'none' else text + update
        return joint + _gate(self.ffn(joint), self.ffn_gate)


def _gate(x: torch.Tensor, gate: Optional[torch.Tensor]) -> torch.Tensor:
    return x if gate is None else gate.tanh() * x


@MODELS.register_module()
class JointAdaptiveFusion(Fusion):
    """Joint adaptive representations, `<https://arxiv.org/abs/2305.19924>`_.

    Image and text are each resampled once to N latents (Eq. 1, 2). Every
    iteration joins them by gated cross-attention (Eq. 3), runs transformer
    layers, and adds the text's latents to the result for the next (Eq. 4).

    Args:
        num_latents (int): Number N of latents of each modality. Defaults
            to 64.
        num_iterations (int): Iterations, over which ``num_layers`` are shared
            out. That the layers are the total is our reading of the published
            costs, which hardly grow with the iterations. Defaults to 4.
        resampler (str): ``'latent'`` or ``'spatial'`` (Table 4d). Defaults
            to ``'latent'``.
        combination (str): How the image's update joins the text: ``'none'``,
            ``'residual'`` or ``'weighted'``, by a learned gate (Table 4c).
            Defaults to ``'weighted'``.
        gated (bool): Whether there are gates at all (Table 3). Defaults to
            True.
        gate_init (float): Initial a and b, which the paper does not tell.
            Flamingo's 0 suits pre-trained text; from scratch the gates hardly
            leave it. Defaults to 1.
        **kwargs: See ``Fusion``.

    Raises:
        ValueError: If an argument is none of the choices.
    """

    def __init__(
        self,
        num_latents: int = 64,
        num_iterations: int = 4,
        resampler: str = 'latent',
        combination: str = 'weighted',
        gated: bool = True,
        gate_init: float = 1.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_choice('resampler', resampler, RESAMPLERS)
        check_choice('combination', combination, COMBINATIONS)
        # Each word counts, and the mean of them tells little.
        self.text_resampler, self.image_resampler = (
            LatentResampler(self.embed_dims, num_latents, self.num_heads, std)
            if resampler == 'latent'
            else SpatialResampler(self.embed_dims, num_latents)
            for std in (4.0, 1.0)
        )
        self.joins = ModuleList()
        self.stages = ModuleList()
        for number in self.layers_per_iteration(num_iterations):
            self.joins.append(
                GatedCrossAttention(
                    self.embed_dims,
                    self.num_heads,
                    self.ffn_ratio,
                    self.drop_rate,
                    combination,
                    gated,
                    gate_init,
                )
            )
            self.stages.append(self.make_layers(number))
        self.norm = nn.LayerNorm(self.embed_dims)

    def prepare_image(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """The N latents of each image, (B, N, D), and no mask."""
        return self.image_resampler(*super().prepare_image(image, mask)), None

    def image_attention(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Where the latents look, (B, N, M), on images (B, M, C)."""
        return self.image_resampler.attention_map(*super().prepare_image(image, mask))

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``; the tokens are the N joint ones."""
        text_latents = self.text_resampler(text, text_mask)
        tokens = None
        for join, layers in zip(self.joins, self.stages):
            query = text_latents if tokens is None else tokens + text_latents
            tokens = self.run_all(layers, self.run(join, query, image))
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask_or_ones(tokens))
