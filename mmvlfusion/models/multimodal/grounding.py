"""The place in an image that an expression refers to."""
from typing import Any, Dict, List, Optional, Union

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.choices import check_choice

from .base import VisionLanguageModel
from .fusion import FusionOutput


@MODELS.register_module()
class VisualGrounding(VisionLanguageModel):
    """A backbone, a text encoder, a fusion of the two, and a head that writes a
    box.

    Args:
        head (dict): Config of a ``BoxGenerationHead``.
        **kwargs: See ``VisionLanguageModel``.
    """

    def __init__(self, head: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.head = MODELS.build(
            head, default_args=dict(tokenizer=self.tokenizer))

    def forward(
        self,
        images: torch.Tensor,
        data_samples: list,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor'
    ) -> Union[Dict[str, torch.Tensor], List[Any], FusionOutput]:
        """Train, ground, or fuse.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            data_samples (list[DataSample]): One an expression, its ``text``;
                see also ``BoxGenerationHead``. ``img_shape`` defaults to (H,
                W).
            image_index (torch.Tensor, optional): The image of each expression.
                Defaults to one expression an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict | list[DataSample] | FusionOutput: ``loss_box``; the samples
            with ``pred_bboxes`` and ``pred_score``; or the fused tokens.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        texts = [sample.text for sample in data_samples]
        fused = self.read(images, texts, image_index, image_mask)
        if mode == 'tensor':
            return fused
        for sample in data_samples:
            if 'img_shape' not in sample:
                sample.set_field(
                    tuple(images.shape[2:]), 'img_shape',
                    field_type='metainfo')  # yapf: disable
        return getattr(self.head, mode)(fused, data_samples)
