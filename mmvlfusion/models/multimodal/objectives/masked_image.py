"""Masked image modelling conditioned on the text."""

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from .base import ImageTextPairs, Objective


@MODELS.register_module()
class MaskedImageObjective(Objective):
    """Predict the pixels of masked patches from the others and the caption.

    It applies SimMIM (arXiv 2111.09886) to the image stream of the fusion.
    Masked patches are filled with the mean colour, so any backbone can be used.
    The loss is the mean absolute error of the normalised pixels.

    Args:
        patch_size (int): Side of a patch in pixels. It must be the stride of
            the backbone's map. Defaults to 32.
        ratio (float): Ratio of the patches that are masked. Defaults to 0.5.
        **kwargs: See ``Objective``.

    Raises:
        ValueError: If the ratio is out of range, if the image tokens (without a
            class token) are not one per patch, or if the images of a batch
            differ in size.
    """

    streams = ('image',)

    def __init__(self, patch_size: int = 32, ratio: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)
        check_number('ratio', ratio, 0, 1, above=True)
        if ratio == 1:
            raise ValueError('ratio=1 must be below 1: it leaves no visible patch.')
        check_number('patch_size', patch_size, 1, integer=True)
        self.patch_size = patch_size
        self.ratio = ratio
        self.head = nn.Linear(self.embed_dims, 3 * patch_size**2)

    def sample_mask(self, images: torch.Tensor) -> torch.Tensor:
        """Sample the patches to mask, the same number in each image.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).

        Returns:
            torch.Tensor: True at masked patches, (B, h, w) with h = H /
            ``patch_size`` and w = W / ``patch_size``.
        """
        height, width = images.shape[2:]
        rows, columns = height // self.patch_size, width // self.patch_size
        order = torch.rand(images.shape[0], rows * columns, device=images.device)
        number = max(1, round(self.ratio * rows * columns))
        hidden = torch.zeros_like(order, dtype=torch.bool)
        hidden.scatter_(1, order.topk(number).indices, True)
        return hidden.view(-1, rows, columns)

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``."""
        if pairs.image_mask is not None:
            raise ValueError(
                'Masked image modelling needs images of one size in a batch: add '
                'a resize or a crop to the pipeline.'
            )
        size = self.patch_size
        hidden = self.sample_mask(pairs.images)
        # (B, h, w) -> (B, H, W)
        pixels = hidden.repeat_interleave(size, 1).repeat_interleave(size, 2)
        if pixels.shape[1:] != pairs.images.shape[2:]:
            raise ValueError(
                f'Images of {tuple(pairs.images.shape[2:])} are not divisible '
                f'into patches of {size} pixels: set patch_size of '
                'MaskedImageObjective to the stride of the backbone.'
            )
        masked = pairs.images.masked_fill(pixels[:, None], 0)
        image, mask = model.fusion.prepare_image(*model.encode_images(masked))
        tokens = model.fusion.fuse(pairs.text, image, pairs.text_mask, mask).image
        # (B, h, w) -> (B, h * w)
        hidden = hidden.flatten(1)
        if tokens.shape[1] == hidden.shape[1] + 1:
            tokens = tokens[:, 1:]  # Without the class token of a ViT.
        if tokens.shape[1] != hidden.shape[1]:
            raise ValueError(
                f'The fusion returns {tokens.shape[1]} tokens per image, '
                f'expected one for each of the {hidden.shape[1]} patches of '
                f'{size} pixels: set patch_size of MaskedImageObjective to the '
                'stride of the backbone.'
            )
        # (B, 3 * size * size, h * w) -> (B, h * w, 3 * size * size)
        patches = F.unfold(pairs.images, size, stride=size).transpose(1, 2)
        return F.l1_loss(self.head(tokens[hidden]), patches[hidden])
