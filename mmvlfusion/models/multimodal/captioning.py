"""Image captioning."""

from typing import Any, Optional

import torch

from mmvlfusion.datasets.utils.captions import check_captions
from mmvlfusion.registry import MODELS

from .base import VisionLanguageTask
from .fusion import FusionOutput


@MODELS.register_module()
class ImageCaptioning(VisionLanguageTask):
    """A backbone and a head that generates captions.

    In training a sample has ``gt_caption``, a string or a list of strings.
    Predictions are ``pred_caption`` and ``pred_score``.

    Args:
        head (dict): Config of a ``TextGenerationHead``. Its ``field`` is set to
            ``'caption'``.
        fusion (dict): Config of the fusion. Defaults to ``ImageOnlyFusion``
            with its default arguments.
        **kwargs: See ``VisionLanguageModel``. There is no text encoder.
    """

    fuses_texts = False

    def __init__(
        self,
        head: dict,
        fusion: dict = dict(type='mmvlfusion.ImageOnlyFusion'),
        **kwargs,
    ) -> None:
        super().__init__(head=dict(head, field='caption'), fusion=fusion, **kwargs)
        self.prompt = head.get('prompt', '')

    def forward(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Any:
        """See ``VisionLanguageTask.forward``.

        Raises:
            ValueError: In training, if a caption is empty, or has no words
                after the prompt.
        """
        if mode == 'loss':
            for sample in data_samples or []:
                check_captions(
                    sample.get('gt_caption'),
                    f'The image {sample.get("img_path", "")}',
                    self.prompt,
                )
        return super().forward(images, data_samples, image_index, image_mask, mode)

    def extract_feat(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """See ``VisionLanguageTask.extract_feat``. The fused tokens are the
        image tokens."""
        image, mask = self.encode_images(images, image_mask)
        return self.fusion(None, image, None, mask, image_index)
