"""What all fusions of text and image share."""

from typing import Iterable, List, NamedTuple, Optional, Tuple, Type

import torch
import torch.nn as nn
import torch.utils.checkpoint as cp
from mmengine.model import BaseModule, ModuleList

from ...layers import TransformerBlock


class FusionOutput(NamedTuple):
    """What a fusion returns.

    ``tokens`` (B, N, D) is what a head reads and ``mask`` (B, N) tells which of
    them are real. ``text`` (B, L, D) and ``image`` (B, M, D) are the streams of
    the two modalities where the fusion keeps them apart, else None.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    text: Optional[torch.Tensor] = None
    image: Optional[torch.Tensor] = None


class Fusion(BaseModule):
    """Base of the fusions: the projection of the image, and transformer blocks.

    Args:
        embed_dims (int): Channels D of the text and of the fused tokens.
            Defaults to 768.
        image_channels (int): Channels C of the image's tokens. Defaults
            to 768.
        num_heads (int): Attention heads. Defaults to 12.
        num_layers (int): Transformer layers in all. Defaults to 12.
        ffn_ratio (float): Hidden width of the feed-forward nets over D.
            Defaults to 4.
        drop_rate (float): Dropout after projections. Defaults to 0.
        project_image (bool): Whether the image is projected to D and
            normalised. Without it C must be D. Defaults to True.
        with_cp (bool): Whether layers are recomputed in the backward pass to
            save memory. Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            Xavier's for linear layers, as DETR has it.
    """

    #: Streams that ``FusionOutput`` keeps apart beside the tokens.
    streams: Tuple[str, ...] = ()

    def __init__(
        self,
        embed_dims: int = 768,
        image_channels: int = 768,
        num_heads: int = 12,
        num_layers: int = 12,
        ffn_ratio: float = 4.0,
        drop_rate: float = 0.0,
        project_image: bool = True,
        with_cp: bool = False,
        init_cfg: Optional[dict] = dict(
            type='Xavier', layer='Linear', distribution='uniform'
        ),
    ) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ValueError(f'num_layers={num_layers} must be at least 1.')
        self.embed_dims = embed_dims
        self.image_channels = image_channels
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.ffn_ratio = ffn_ratio
        self.drop_rate = drop_rate
        self.with_cp = with_cp
        if project_image:
            # Backbones differ in the scale of their maps; text comes
            # normalised.
            self.image_proj = nn.Linear(image_channels, embed_dims)
            self.image_norm = nn.LayerNorm(embed_dims, eps=1e-12)
            return
        if image_channels != embed_dims:
            raise ValueError(
                f'image_channels={image_channels} must be embed_dims='
                f'{embed_dims} with project_image=False.'
            )
        self.image_proj, self.image_norm = nn.Identity(), nn.Identity()

    def make_layers(
        self, number: int, block: Type[TransformerBlock] = TransformerBlock, **kwargs
    ) -> ModuleList:
        """Transformer layers of the fusion's width."""
        return ModuleList(
            block(
                self.embed_dims,
                self.num_heads,
                ffn_ratio=self.ffn_ratio,
                qkv_bias=True,
                drop_rate=self.drop_rate,
                **kwargs,
            )
            for _ in range(number)
        )

    def layers_per_iteration(self, num_iterations: int) -> List[int]:
        """``num_layers`` shared out over iterations, the first get the rest.

        Raises:
            ValueError: If there are fewer layers than iterations.
        """
        if not 1 <= num_iterations <= self.num_layers:
            raise ValueError(
                f'num_iterations={num_iterations} must be within 1 ... '
                f'num_layers={self.num_layers}, which are shared out over '
                'the iterations.'
            )
        least, rest = divmod(self.num_layers, num_iterations)
        return [least + (i < rest) for i in range(num_iterations)]

    def run(self, layer: nn.Module, *args) -> torch.Tensor:
        """Call a layer, recomputed in the backward pass if ``with_cp``."""
        if self.with_cp and self.training and torch.is_grad_enabled():
            return cp.checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)

    def run_all(
        self,
        layers: Iterable[nn.Module],
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Call self-attention layers one after the other."""
        for layer in layers:
            x = self.run(layer, x, mask)
        return x

    def forward(
        self,
        text: torch.Tensor,
        image: Optional[torch.Tensor] = None,
        text_mask: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        image_index: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """Fuse the tokens of texts and images.

        Args:
            text (torch.Tensor): Shape (B, L, D).
            image (torch.Tensor): Shape (B, M, C).
            text_mask (torch.Tensor, optional): Boolean, (B, L), True where a
                token is real. Each text needs one. Defaults to all.
            image_mask (torch.Tensor, optional): The same for the image,
                (B, M).
            image_index (torch.Tensor, optional): The image of each text, (B),
                where several texts share one and there are fewer images; what
                does not depend on the text is computed once an image. Defaults
                to one image a text.

        Returns:
            FusionOutput: The fused tokens.
        """
        image, image_mask = select_rows(
            image_index, *self.prepare_image(image, image_mask)
        )
        return self.fuse(text, image, text_mask, image_mask)

    def prepare_image(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """What a fusion computes from images alone: tokens of D channels and
        their mask, from tokens (B, M, C) and theirs."""
        return self.image_norm(self.image_proj(image)), mask

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """Fuse texts, (B, L, D), with what ``prepare_image`` made of their
        images."""
        raise NotImplementedError


def mask_or_ones(
    tokens: torch.Tensor, mask: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """A mask of tokens (B, N, D), where None stands for all of them."""
    if mask is not None:
        return mask
    return tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


def joint_mask(
    *sequences: Tuple[torch.Tensor, Optional[torch.Tensor]],
) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
    """The mask of sequences of tokens with their masks, one after the other,
    and the same for attention, which is faster with None where all are real."""
    mask = torch.cat([mask_or_ones(*sequence) for sequence in sequences], dim=1)
    padded = any(own is not None for _, own in sequences)
    return mask, mask if padded else None


def select_rows(
    index: Optional[torch.Tensor], *tensors: Optional[torch.Tensor]
) -> List[Optional[torch.Tensor]]:
    """The rows ``index`` of each tensor, all of them where it is None."""
    if index is None:
        return list(tensors)
    return [None if tensor is None else tensor[index] for tensor in tensors]


def masked_mean(
    tokens: torch.Tensor, mask: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """The mean (B, D) of the real ones of tokens (B, N, D)."""
    if mask is None:
        return tokens.mean(dim=1)
    mask = mask[..., None].to(tokens)
    return (tokens * mask).sum(dim=1) / mask.sum(dim=1)
