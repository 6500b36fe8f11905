"""Base class of the fusions of text and image, and helpers for masks.

Masks are boolean, True at valid tokens. Each sequence needs at least one.

Notation of shapes:

    ====  ==================================================
    B     batch size, the number of texts
    L     tokens of a text
    M     tokens of an image
    N     fused tokens
    D     channels of a text token and of a fused token
    C     channels of an image token before its projection
    ====  ==================================================
"""

from typing import Iterable, List, NamedTuple, Optional, Tuple, Type

import torch
import torch.nn as nn
import torch.utils.checkpoint as cp
from mmengine.model import BaseModule, ModuleList

from mmvlfusion.utils.checks import check_number

from ...layers import TransformerBlock

# Epsilon of the norm layers in BERT.
BERT_NORM_EPS = 1e-12


class FusionOutput(NamedTuple):
    """Output of a fusion.

    Where ``tokens`` holds tokens of both modalities, those of the text come
    first.

    Attributes:
        tokens (torch.Tensor): The tokens that a head reads, (B, N, D).
        mask (torch.Tensor): True at valid tokens, (B, N).
        text (torch.Tensor, optional): The text stream, (B, L, D). None if the
            fusion does not keep it separate.
        image (torch.Tensor, optional): The image stream, (B, M, D). None if
            the fusion does not keep it separate.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    text: Optional[torch.Tensor] = None
    image: Optional[torch.Tensor] = None


class Fusion(BaseModule):
    """Base class of the fusions: image projection and transformer layers.

    Args:
        embed_dims (int): Channels D of the text tokens and of the fused
            tokens. Defaults to 768.
        image_channels (int): Channels C of the image tokens. Defaults to 768.
        num_heads (int): Number of attention heads. Defaults to 12.
        num_layers (int): Total number of transformer layers. Defaults to 12.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to ``embed_dims``. Defaults to 4.
        drop_rate (float): Dropout after every projection. Defaults to 0.
        project_image (bool): Whether to project the image tokens to D channels
            and to normalise them. If False, C must be D. Defaults to True.
        with_cp (bool): Whether to use activation checkpointing, which saves
            memory. Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            Xavier's for linear layers, as in DETR.

    Raises:
        ValueError: If ``num_layers`` is below 1, or if ``image_channels`` is
            not ``embed_dims`` and ``project_image`` is False.
    """

    #: Streams that ``FusionOutput`` holds in addition to ``tokens``.
    streams: Tuple[str, ...] = ()
    #: Whether the fusion reads an image.
    reads_image = True

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
        for name, value in dict(
            embed_dims=embed_dims,
            image_channels=image_channels,
            num_heads=num_heads,
            num_layers=num_layers,
        ).items():
            check_number(name, value, 1, integer=True)
        check_number('ffn_ratio', ffn_ratio, 0, above=True)
        check_number('drop_rate', drop_rate, 0, 1)
        self.embed_dims = embed_dims
        self.image_channels = image_channels
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.ffn_ratio = ffn_ratio
        self.drop_rate = drop_rate
        self.with_cp = with_cp
        if self.reads_image:
            self._build_image_projection(project_image)

    def _build_image_projection(self, project_image: bool) -> None:
        """Build the projection of the image tokens to D channels."""
        if project_image:
            # The scale of the maps differs between backbones. Text encoders
            # return normalised tokens.
            self.image_proj = nn.Linear(self.image_channels, self.embed_dims)
            self.image_norm = nn.LayerNorm(self.embed_dims, eps=BERT_NORM_EPS)
        elif self.image_channels == self.embed_dims:
            self.image_proj = nn.Identity()
            self.image_norm = nn.Identity()
        else:
            raise ValueError(
                f'image_channels={self.image_channels} must be embed_dims='
                f'{self.embed_dims} with project_image=False.'
            )

    def make_layers(
        self, number: int, block: Type[TransformerBlock] = TransformerBlock, **kwargs
    ) -> ModuleList:
        """Build transformer layers of the fusion's width.

        Args:
            number (int): Number of layers.
            block (type): Class of a layer. Defaults to ``TransformerBlock``.
            **kwargs: Other arguments of ``block``.

        Returns:
            ModuleList: The layers.
        """
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
        """Split ``num_layers`` over the iterations.

        The first iterations receive the remainder, one layer each.

        Args:
            num_iterations (int): Number of iterations.

        Returns:
            list[int]: Number of layers of each iteration.

        Raises:
            ValueError: If there are fewer layers than iterations.
        """
        check_number('num_iterations', num_iterations, 1, integer=True)
        if not 1 <= num_iterations <= self.num_layers:
            raise ValueError(
                f'num_iterations={num_iterations} must be within 1 ... '
                f'num_layers={self.num_layers}, because the layers are split '
                'over the iterations.'
            )
        least, remainder = divmod(self.num_layers, num_iterations)
        return [least + 1] * remainder + [least] * (num_iterations - remainder)

    def run(self, layer: nn.Module, *args) -> torch.Tensor:
        """Call a layer, with activation checkpointing if ``with_cp``.

        Args:
            layer (nn.Module): The layer.
            *args: Its arguments.

        Returns:
            torch.Tensor: Its output.
        """
        if self.with_cp and self.training and torch.is_grad_enabled():
            return cp.checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)

    def run_all(
        self,
        layers: Iterable[nn.Module],
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Call self-attention layers in sequence.

        Args:
            layers (Iterable[nn.Module]): The layers.
            x (torch.Tensor): Tokens, (B, N, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, N).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
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
        """Fuse texts and images.

        Args:
            text (torch.Tensor): Text tokens, (B, L, D).
            image (torch.Tensor, optional): Image tokens, (B, M, C), or
                (images, M, C) if ``image_index`` is given.
            text_mask (torch.Tensor, optional): True at valid text tokens,
                (B, L). Defaults to None, all.
            image_mask (torch.Tensor, optional): True at valid image tokens,
                (B, M). Defaults to None, all.
            image_index (torch.Tensor, optional): Index of the image of each
                text, (B), where several texts share an image. What does not
                depend on the text is computed once per image. Defaults to
                None, one image per text.

        Returns:
            FusionOutput: The fused tokens.
        """
        image, image_mask = self.prepare_image(image, image_mask)
        image, image_mask = select_rows(image_index, image, image_mask)
        return self.fuse(text, image, text_mask, image_mask)

    def prepare_image(
        self, image: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Compute the part of the fusion that depends on the image only.

        Args:
            image (torch.Tensor): Image tokens, (B, M, C).
            mask (torch.Tensor, optional): True at valid tokens, (B, M).
                Defaults to None, all.

        Returns:
            tuple[torch.Tensor, torch.Tensor | None]: Tokens of D channels and
            their mask, None if all are valid.
        """
        return self.image_norm(self.image_proj(image)), mask

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """Fuse texts with prepared images.

        Args:
            text (torch.Tensor): Text tokens, (B, L, D).
            image (torch.Tensor): Image tokens from ``prepare_image``, one row
                per text.
            text_mask (torch.Tensor, optional): True at valid text tokens,
                (B, L). None if all are valid.
            image_mask (torch.Tensor, optional): Mask from ``prepare_image``.

        Returns:
            FusionOutput: The fused tokens.
        """
        raise NotImplementedError


def mask_or_ones(
    tokens: torch.Tensor, mask: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """Replace a missing mask by one that is True everywhere.

    Args:
        tokens (torch.Tensor): Shape (B, N, D).
        mask (torch.Tensor, optional): True at valid tokens, (B, N).

    Returns:
        torch.Tensor: Boolean mask, (B, N).
    """
    if mask is not None:
        return mask
    return tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


def joint_mask(
    *sequences: Tuple[torch.Tensor, Optional[torch.Tensor]],
) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
    """Concatenate the masks of sequences of tokens.

    Args:
        *sequences (tuple[torch.Tensor, torch.Tensor | None]): Tokens and mask
            of each sequence.

    Returns:
        tuple[torch.Tensor, torch.Tensor | None]: The mask of the concatenated
        sequences, and the mask for attention. The latter is None if no
        sequence has a mask, because attention is faster without one.
    """
    joint = torch.cat([mask_or_ones(tokens, mask) for tokens, mask in sequences], dim=1)
    if all(mask is None for _, mask in sequences):
        return joint, None
    return joint, joint


def select_rows(
    index: Optional[torch.Tensor], *tensors: Optional[torch.Tensor]
) -> List[Optional[torch.Tensor]]:
    """Select rows of several tensors.

    Args:
        index (torch.Tensor, optional): Indices of the rows. All rows are
            returned if it is None.
        *tensors (torch.Tensor, optional): The tensors. None stays None.

    Returns:
        list[torch.Tensor | None]: The rows of each tensor.
    """
    if index is None:
        return list(tensors)
    return [None if tensor is None else tensor[index] for tensor in tensors]


def masked_mean(
    tokens: torch.Tensor, mask: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """Compute the mean of the valid tokens.

    Args:
        tokens (torch.Tensor): Shape (B, N, D).
        mask (torch.Tensor, optional): True at valid tokens, (B, N). Defaults
            to None, all.

    Returns:
        torch.Tensor: Shape (B, D).
    """
    if mask is None:
        return tokens.mean(dim=1)
    mask = mask[..., None].to(tokens)
    return (tokens * mask).sum(dim=1) / mask.sum(dim=1)
