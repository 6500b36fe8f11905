"""The fusion encoder of ALBEF (arXiv 2107.07651)."""

from typing import Optional

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number, require

from ...layers import CrossAttentionBlock
from ..tokenizers import local_or_hub
from .base import BERT_NORM_EPS, Fusion, FusionOutput, mask_or_ones
from .bert_layers import from_bert, layers_of


@MODELS.register_module()
class AlbefFusion(Fusion):
    """The upper layers of BERT with cross-attention to the image (ALBEF, Section
    3.1).

    In every layer the text attends to itself, then to the image, post-norm. The
    image is not updated. The text encoder holds the lower layers of BERT. The
    image tokens are those of the backbone, so ``project_image`` defaults to
    False.

    A pair of images is read by two layers in the place of one: the first attends
    to the first image, the second to the second image. The two share the keys and
    values of their cross-attention (Section 5, NLVR2). A checkpoint with one
    image initialises both.

    Args:
        num_layers (int): Number of layers for each image. Defaults to 6.
        num_images (int): Images of a text, 1 or 2. Their tokens are
            concatenated, so each has the same number of them. Defaults to 1.
        pretrained (str, optional): Local folder or name on the hub of a BERT.
            Its last ``num_layers`` layers are loaded by ``init_weights``.
            Defaults to None, random weights.
        project_image (bool): See ``Fusion``. Defaults to False.
        init_cfg (dict, optional): Initialisation of the layers that BERT does
            not have. Defaults to a normal distribution with a standard
            deviation of 0.02, as in BERT.
        **kwargs: See ``Fusion``.

    Raises:
        ValueError: If ``num_images`` is neither 1 nor 2, or BERT has fewer
            layers than ``num_layers``.
    """

    streams = ('text', 'image')

    def __init__(
        self,
        num_layers: int = 6,
        num_images: int = 1,
        pretrained: Optional[str] = None,
        project_image: bool = False,
        init_cfg: Optional[dict] = dict(type='Normal', layer='Linear', std=0.02),
        **kwargs,
    ) -> None:
        super().__init__(
            num_layers=num_layers,
            project_image=project_image,
            init_cfg=init_cfg,
            **kwargs,
        )
        check_number('num_images', num_images, 1, 2, integer=True)
        self.num_images = num_images
        self.pretrained = pretrained
        self.layers = self.make_layers(
            num_layers * num_images,
            CrossAttentionBlock,
            norm_first=False,
            norm_cfg=dict(type='LN', eps=BERT_NORM_EPS),
        )
        if num_images == 2:
            for first, second in zip(self.layers[::2], self.layers[1::2]):
                second.cross_attn.kv = first.cross_attn.kv

    def init_weights(self) -> None:
        """Load the layers of the pretrained BERT.

        Raises:
            FileNotFoundError: If the local folder does not exist.
            ValueError: If it has too few layers.
        """
        if self.is_init:
            return
        super().init_weights()
        if self.pretrained is None:
            return
        loaded = require('transformers').AutoModelForTextEncoding.from_pretrained(
            local_or_hub(self.pretrained)
        )
        layers = list(layers_of(loaded.state_dict(), 'encoder.layer.').values())
        if len(layers) < self.num_layers:
            raise ValueError(
                f'{self.pretrained!r} has {len(layers)} layers, but the fusion has '
                f'num_layers={self.num_layers}: reduce it.'
            )
        for number, weights in enumerate(layers[-self.num_layers :]):
            for copy in range(self.num_images):
                layer = self.layers[number * self.num_images + copy]
                layer.load_state_dict(from_bert(weights), strict=False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Initialise both layers of a pair from a checkpoint with one image."""
        start = f'{prefix}layers.'
        stored = layers_of(state_dict, start)
        if self.num_images == 2 and len(stored) == self.num_layers:
            for number, weights in stored.items():
                for name, value in weights.items():
                    for copy in range(2):
                        state_dict[f'{start}{2 * number + copy}.{name}'] = value
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are the text tokens."""
        images = image.chunk(self.num_images, dim=1)
        masks = mask_or_ones(image, image_mask).chunk(self.num_images, dim=1)
        for number, layer in enumerate(self.layers):
            place = number % self.num_images
            mask = None if image_mask is None else masks[place]
            text = self.run(layer, text, images[place], text_mask, mask)
        return FusionOutput(text, mask_or_ones(text, text_mask), text, image)
