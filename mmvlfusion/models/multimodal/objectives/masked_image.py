"""Masked image modelling with the text."""

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS

from .base import ImageTextPairs, Objective


@MODELS.register_module()
class MaskedImageObjective(Objective):
    """Guess the pixels of hidden patches from the others and the caption:
    SimMIM (arXiv 2111.09886) on the fusion's image stream.

    Hidden patches have the mean colour, so that any backbone can be used; the
    loss is the mean absolute difference of their normalised pixels.

    Args:
        patch_size (int): Side of a patch in pixels, the stride of the
            backbone's map. Defaults to 32.
        ratio (float): Share of the patches that are hidden. Defaults to 0.5.
        **kwargs: See ``Objective``.

    Raises:
        ValueError: If the tokens of an image are no such patches, beside one
            of its class, or the images of a batch differ in size.
    """

    streams = ('image',)

    def __init__(self, patch_size: int = 32, ratio: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 < ratio < 1:
            raise ValueError(f'ratio={ratio} must be within 0 and 1.')
        self.patch_size = patch_size
        self.ratio = ratio
        self.head = nn.Linear(self.embed_dims, 3 * patch_size**2)

    def sample_mask(self, images: torch.Tensor) -> torch.Tensor:
        """Which patches are hidden, the same number of each image, (B, h, w)."""
        height, width = (side // self.patch_size for side in images.shape[2:])
        order = torch.rand(len(images), height * width, device=images.device)
        number = max(1, round(self.ratio * height * width))
        hidden = torch.zeros_like(order, dtype=torch.bool)
        hidden.scatter_(1, order.topk(number).indices, True)
        return hidden.view(-1, height, width)

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective``."""
        if pairs.image_mask is not None:
            raise ValueError(
                'Masked image modelling needs images of one size '
                'in a batch: let the pipeline resize or crop.'
            )
        size = self.patch_size
        hidden = self.sample_mask(pairs.images)
        pixels = hidden.repeat_interleave(size, 1).repeat_interleave(size, 2)
        if pixels.shape[1:] != pairs.images.shape[2:]:
            raise ValueError(
                f'Patches of {size} pixels do not fill images of '
                f'{tuple(pairs.images.shape[2:])}: set the patch_size of the '
                'masked image modelling to the stride of the backbone.'
            )
        image, mask = model.fusion.prepare_image(
            *model.encode_images(pairs.images.masked_fill(pixels[:, None], 0))
        )
        tokens = model.fusion.fuse(pairs.text, image, pairs.text_mask, mask).image
        hidden = hidden.flatten(1)
        if tokens.shape[1] == hidden.shape[1] + 1:
            tokens = tokens[:, 1:]  # A ViT's class token is of no patch.
        if tokens.shape[1] != hidden.shape[1]:
            raise ValueError(
                f'The fusion returns {tokens.shape[1]} tokens an image, and '
                f'there are {hidden.shape[1]} patches of {size} pixels: set '
                'the patch_size of the masked image modelling to the stride of '
                'the backbone.'
            )
        patches = F.unfold(pairs.images, size, stride=size).transpose(1, 2)
        return F.l1_loss(self.head(tokens[hidden]), patches[hidden])
