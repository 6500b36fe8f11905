"""Joint adaptive representations (JAR, arXiv 2305.19924)."""

from typing import Optional, Tuple, Union

import torch
import torch.nn as nn
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number

from ...layers import CrossAttention
from .base import Fusion, FusionOutput, mask_or_ones
from .resamplers import LatentResampler, SpatialResampler

RESAMPLERS = ('latent', 'spatial')
COMBINATIONS = ('none', 'residual', 'weighted')

# Standard deviations of the initial latents. Those of the text are larger, so
# that their attention starts peaked: a mean over words carries little
# information.
TEXT_LATENT_STD = 4.0
IMAGE_LATENT_STD = 1.0


class GatedCrossAttention(nn.Module):
    """Gated cross-attention from text to image latents (Eq. 3).

    P = LN(t) + tanh(a) MHA(LN(t), LN(f)); F = P + tanh(b) MLP(P). The residual
    connection of the first sum starts from LN(t), as in the paper.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of attention heads.
        ffn_ratio (float): Ratio of the hidden width of the MLP to
            ``embed_dims``.
        drop_rate (float): Dropout after every projection.
        combination (str): ``'weighted'`` for the equation above;
            ``'residual'`` for the attention without its gate; ``'none'`` for
            the attention without gate and residual connection.
        gated (bool): Whether to use gates. If False, there are none.
        gate_init (float): Initial value of a and b.
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
        self.attn_gate: Optional[nn.Parameter] = None
        self.ffn_gate: Optional[nn.Parameter] = None
        if gated and combination == 'weighted':
            self.attn_gate = nn.Parameter(torch.full((1,), gate_init))
        if gated:
            self.ffn_gate = nn.Parameter(torch.full((1,), gate_init))

    def forward(self, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Combine latents of text and image.

        Args:
            text (torch.Tensor): Shape (B, N, D).
            image (torch.Tensor): Shape (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        text = self.norm_text(text)
        update = _gate(self.attn(text, self.norm_image(image)), self.attn_gate)
        joint = update if self.combination == 'none' else text + update
        return joint + _gate(self.ffn(joint), self.ffn_gate)


def _gate(x: torch.Tensor, gate: Optional[torch.Tensor]) -> torch.Tensor:
    """Scale by tanh(gate), if there is a gate."""
    return x if gate is None else gate.tanh() * x


@MODELS.register_module()
class JointAdaptiveFusion(Fusion):
    """Joint adaptive representations, `<https://arxiv.org/abs/2305.19924>`_.

    Image and text are each resampled once to N latents (Eq. 1, 2). Every
    iteration combines them by gated cross-attention (Eq. 3), runs transformer
    layers, and adds the text latents to the result for the next one (Eq. 4).

    Args:
        num_latents (int): Number N of latents of each modality. Defaults
            to 64.
        num_iterations (int): Number of iterations, over which ``num_layers``
            is split. That the published number of layers is the total is our
            reading: the published costs hardly grow with the iterations.
            Defaults to 4.
        resampler (str): ``'latent'`` or ``'spatial'`` (Table 4c). Defaults
            to ``'latent'``.
        combination (str): How the update by the image is added to the text:
            ``'none'``, ``'residual'``, or ``'weighted'`` by a learned gate
            (Table 4d). Defaults to ``'weighted'``.
        gated (bool): Whether to use gates (Table 3). Defaults to True.
        gate_init (float): Initial value of the gates a and b, which the paper
            does not state. Flamingo's 0 suits pre-trained text encoders; in
            training from scratch the gates then hardly change. Defaults to 1.
        **kwargs: See ``Fusion``.

    Raises:
        ValueError: If ``resampler`` or ``combination`` is unknown.
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
        check_number('num_latents', num_latents, 1, integer=True)
        check_choice('resampler', resampler, RESAMPLERS)
        check_choice('combination', combination, COMBINATIONS)
        self.text_resampler = self._make_resampler(
            resampler, num_latents, TEXT_LATENT_STD
        )
        self.image_resampler = self._make_resampler(
            resampler, num_latents, IMAGE_LATENT_STD
        )
        self.joins = ModuleList()
        self.stages = ModuleList()
        for depth in self.layers_per_iteration(num_iterations):
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
            self.stages.append(self.make_layers(depth))
        self.norm = nn.LayerNorm(self.embed_dims)

    def _make_resampler(
        self, resampler: str, num_latents: int, latent_std: float
    ) -> Union[LatentResampler, SpatialResampler]:
        if resampler == 'latent':
            return LatentResampler(
                self.embed_dims, num_latents, self.num_heads, latent_std
            )
        return SpatialResampler(self.embed_dims, num_latents)

    def prepare_image(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """See ``Fusion.prepare_image``. The result is the N latents of each
        image, (B, N, D), and no mask."""
        return self.image_resampler(*super().prepare_image(image, mask)), None

    def image_attention(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Compute the attention of the latents over the image tokens.

        Args:
            image (torch.Tensor): Image tokens, (B, M, C).
            mask (torch.Tensor, optional): True at valid tokens, (B, M).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, M); each row sums to one.
        """
        return self.image_resampler.attention_map(*super().prepare_image(image, mask))

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are the N joint latents."""
        text_latents = self.text_resampler(text, text_mask)
        tokens = None
        for join, layers in zip(self.joins, self.stages):
            query = text_latents if tokens is None else tokens + text_latents
            tokens = self.run_all(layers, self.run(join, query, image))
        tokens = self.norm(tokens)
        return FusionOutput(tokens, mask_or_ones(tokens))
