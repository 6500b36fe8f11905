"""The skip-connected fusion of mPLUG (arXiv 2205.12005)."""

from typing import List, Optional

import torch
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ...layers import CrossAttentionBlock, TransformerBlock
from .base import Fusion, FusionOutput, joint_mask

SCHEDULES = ('paper', 'released')


@MODELS.register_module()
class SkipConnectedFusion(Fusion):
    """Cheap layers that update the text alone, and now and then one over text
    and image together, whose update of the image is added to the image that
    skipped the layers before (mPLUG, Section 3.2).

    An asymmetric layer is self-attention of the text, its attention to the
    image, and a feed-forward net. A connected layer is a transformer layer over
    the tokens of the image and the text in one sequence. Norms stand behind the
    sums, as in BERT, from which the published models start.

    Args:
        stride (int): Number S of asymmetric layers. Defaults to 3.
        schedule (str): ``'paper'``, blocks of S asymmetric layers which a
            connected one closes, so that S + 1 divides ``num_layers``; or
            ``'released'``, where layer j of the published checkpoints is
            connected if S divides j and j > 0. Defaults to ``'paper'``.
        num_layers (int): Layers of both kinds. Defaults to 12.
        **kwargs: See ``Fusion``.

    Raises:
        ValueError: If stride or schedule do not fit the layers.
    """

    streams = ('text', 'image')

    def __init__(
        self, stride: int = 3, schedule: str = 'paper', num_layers: int = 12, **kwargs
    ) -> None:
        super().__init__(num_layers=num_layers, **kwargs)
        check_choice('schedule', schedule, SCHEDULES)
        norm = dict(norm_first=False, norm_cfg=dict(type='LN', eps=1e-12))
        connected = connected_layers(num_layers, stride, schedule)
        self.layers = ModuleList(
            self.make_layers(
                1, TransformerBlock if both else CrossAttentionBlock, **norm
            )[0]
            for both in connected
        )
        self.register_buffer('connected', torch.tensor(connected))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """See ``torch.nn.Module``.

        Raises:
            ValueError: If the checkpoint has other layers connected.
        """
        stored = state_dict.get(prefix + 'connected')
        if stored is not None and not torch.equal(stored.cpu(), self.connected.cpu()):
            stored, own = (
                mask.nonzero().flatten().tolist() for mask in (stored, self.connected)
            )
            raise ValueError(
                f'In the checkpoint the layers {stored} of the fusion are '
                f'connected, here {own}: set stride, schedule and num_layers '
                'to its own.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def fuse(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
    ) -> FusionOutput:
        """See ``Fusion.fuse``; the tokens are those of the image, then those
        of the text."""
        mask, attn_mask = joint_mask((image, image_mask), (text, text_mask))
        for layer in self.layers:
            if isinstance(layer, CrossAttentionBlock):
                text = self.run(layer, text, image, text_mask, image_mask)
                continue
            both = self.run(layer, torch.cat([image, text], dim=1), attn_mask)
            update, text = both.split([image.shape[1], text.shape[1]], dim=1)
            image = image + update
        return FusionOutput(torch.cat([image, text], dim=1), mask, text, image)


def connected_layers(num_layers: int, stride: int, schedule: str) -> List[bool]:
    """Which of the layers are connected.

    Raises:
        ValueError: If the stride does not fit.
    """
    if stride < 1:
        raise ValueError(f'stride={stride} must be at least 1.')
    if schedule == 'released':
        return [j > 0 and j % stride == 0 for j in range(num_layers)]
    if num_layers % (stride + 1):
        fitting = [s for s in range(1, num_layers) if num_layers % (s + 1) == 0]
        raise ValueError(
            f'stride={stride}: blocks of {stride} + 1 layers do not share out '
            f'num_layers={num_layers}; strides that do: {fitting}.'
        )
    return [j % (stride + 1) == stride for j in range(num_layers)]
