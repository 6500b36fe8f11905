"""Captions of images."""
from typing import Any, Dict, List, Optional, Union

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.choices import check_choice

from .base import VisionLanguageModel
from .fusion import FusionOutput


@MODELS.register_module()
class ImageCaptioning(VisionLanguageModel):
    """A backbone, and a head that describes what it sees.

    Args:
        head (dict): Config of a ``TextGenerationHead``, whose ``field``
            defaults to ``'caption'``.
        fusion (dict): Config of the fusion. Defaults to ``ImageOnlyFusion`` of
            its default widths.
        **kwargs: See ``VisionLanguageModel``; there is no text encoder.
    """

    def __init__(self,
                 head: dict,
                 fusion: dict = dict(type='mmvlfusion.ImageOnlyFusion'),
                 **kwargs) -> None:
        super().__init__(fusion=fusion, **kwargs)
        self.head = MODELS.build(
            head,
            default_args=dict(tokenizer=self.tokenizer, field='caption'))

    def forward(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor'
    ) -> Union[Dict[str, torch.Tensor], List[Any], FusionOutput]:
        """Train, describe, or encode.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            data_samples (list[DataSample]): One an image, in training with
                ``gt_caption``, a string or several.
            image_index (torch.Tensor, optional): The image of each sample.
                Defaults to one sample an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict | list[DataSample] | FusionOutput: ``loss_caption``; the
            samples with ``pred_caption`` and ``pred_score``; or the image's
            tokens.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        image, mask = self.encode_images(images, image_mask)
        seen = self.fusion(None, image, None, mask, image_index)
        if mode == 'tensor':
            return seen
        return getattr(self.head, mode)(seen, data_samples)
