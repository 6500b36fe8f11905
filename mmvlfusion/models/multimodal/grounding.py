"""Visual grounding: the box that a referring expression describes."""

from typing import Optional

import torch

from mmvlfusion.registry import MODELS

from .base import VisionLanguageTask
from .fusion import FusionOutput


@MODELS.register_module()
class VisualGrounding(VisionLanguageTask):
    """A backbone, a text encoder, a fusion, and a head that generates a box.

    A sample has the expression as ``text``, and the fields that
    ``BoxGenerationHead`` reads. ``img_shape`` defaults to the size of the
    input.

    Args:
        head (dict): Config of a ``BoxGenerationHead``.
        **kwargs: See ``VisionLanguageModel``.
    """

    def extract_feat(
        self,
        images: torch.Tensor,
        data_samples: list,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """See ``VisionLanguageTask.extract_feat``."""
        for sample in data_samples:
            if 'img_shape' not in sample:
                sample.set_field(
                    tuple(images.shape[-2:]), 'img_shape', field_type='metainfo'
                )
        texts = [sample.text for sample in data_samples]
        return self.fuse_inputs(images, texts, image_index, image_mask)
