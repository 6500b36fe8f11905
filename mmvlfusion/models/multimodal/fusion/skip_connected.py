"""The skip-connected fusion of mPLUG (arXiv 2205.12005)."""

from typing import List, Optional

import torch
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number

from ...layers import CrossAttentionBlock, TransformerBlock
from .base import BERT_NORM_EPS, Fusion, FusionOutput, joint_mask

SCHEDULES = ('paper', 'released')


@MODELS.register_module()
class SkipConnectedFusion(Fusion):
    """Asymmetric co-attention layers and connected layers (mPLUG, Section 3.2).

    An asymmetric layer updates the text only: self-attention, cross-attention
    to the image, and a feed-forward network. A connected layer is a transformer
    layer over [image; text]. Its update of the image is added to the image
    stream, which skips the asymmetric layers. All layers are post-norm, as in
    BERT, from which the published models are initialised.

    Args:
        stride (int): Number S of asymmetric layers before a connected one.
            Defaults to 3.
        schedule (str): ``'paper'`` for blocks of S asymmetric layers and one
            connected layer; S + 1 must divide ``num_layers``. ``'released'``
            for the published checkpoints, where layer j is connected if S
            divides j and j > 0. Defaults to ``'paper'``.
        num_layers (int): Number of layers of both kinds. Defaults to 12.
        **kwargs: See ``Fusion``.

    Raises:
        ValueError: If ``stride`` does not fit ``num_layers``, or ``schedule``
            is unknown.
    """

    streams = ('text', 'image')

    def __init__(
        self, stride: int = 3, schedule: str = 'paper', num_layers: int = 12, **kwargs
    ) -> None:
        super().__init__(num_layers=num_layers, **kwargs)
        check_choice('schedule', schedule, SCHEDULES)
        norm = dict(norm_first=False, norm_cfg=dict(type='LN', eps=BERT_NORM_EPS))
        connected = connected_layers(num_layers, stride, schedule)
        self.layers = ModuleList()
        for is_connected in connected:
            block = TransformerBlock if is_connected else CrossAttentionBlock
            self.layers.extend(self.make_layers(1, block, **norm))
        self.register_buffer('connected', torch.tensor(connected))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Check that the same layers of the checkpoint are connected.

        Raises:
            ValueError: If other layers of the checkpoint are connected.
        """
        stored = state_dict.get(prefix + 'connected')
        if stored is not None and not torch.equal(stored.cpu(), self.connected.cpu()):
            raise ValueError(
                f'In the checkpoint the fusion layers {_indices(stored)} are '
                f'connected, but here {_indices(self.connected)}: set stride, '
                'schedule and num_layers to the values of the checkpoint.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``. The fused tokens are [text; image]."""
        # Connected layers run over [image; text], as in the released code.
        _, attn_mask = joint_mask((image, image_mask), (text, text_mask))
        lengths = [image.shape[1], text.shape[1]]
        for layer in self.layers:
            if isinstance(layer, CrossAttentionBlock):
                text = self.run(layer, text, image, text_mask, image_mask)
            else:
                both = self.run(layer, torch.cat([image, text], dim=1), attn_mask)
                update, text = both.split(lengths, dim=1)
                image = image + update
        tokens = torch.cat([text, image], dim=1)
        mask, _ = joint_mask((text, text_mask), (image, image_mask))
        return FusionOutput(tokens, mask, text, image)


def _indices(mask: torch.Tensor) -> List[int]:
    """Indices of the True entries of a mask (N,)."""
    return mask.nonzero().flatten().tolist()


def connected_layers(num_layers: int, stride: int, schedule: str) -> List[bool]:
    """Decide which layers are connected.

    Args:
        num_layers (int): Number of layers.
        stride (int): See ``SkipConnectedFusion``.
        schedule (str): See ``SkipConnectedFusion``.

    Returns:
        list[bool]: For each layer, whether it is connected.

    Raises:
        ValueError: If the stride does not fit the number of layers.
    """
    check_number('stride', stride, 1, integer=True)
    if schedule == 'released':
        return [j > 0 and j % stride == 0 for j in range(num_layers)]
    if num_layers % (stride + 1):
        fitting = [s for s in range(1, num_layers) if num_layers % (s + 1) == 0]
        raise ValueError(
            f'stride={stride}: num_layers={num_layers} is not divisible into '
            f'blocks of {stride} + 1 layers; valid strides: {fitting}.'
        )
    return [j % (stride + 1) == stride for j in range(num_layers)]
