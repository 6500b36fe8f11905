"""Feature pyramid from the maps of a plain backbone, all of one stride."""

from typing import List, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice


@MODELS.register_module()
class PlainFeaturePyramid(BaseModule):
    """Rescale each feature map of a plain backbone by its own factor.

    With the defaults, maps of stride 16 are rescaled to the strides 4, 8, 16
    and 32 of TNT's Faster R-CNN (arXiv 2103.00112, appendix A.3). The layers
    are a 4 x 4 deconvolution of stride 4, one of stride 2, the identity, and a
    4 x 4 convolution of stride 2. The kernel sizes are derived from the
    published size, 48.1 M parameters. The number of channels does not change.

    Args:
        in_channels (int | Sequence[int]): Channels of the maps, one number
            for all or one for each.
        scales (Sequence[float]): Factor of the height and width of each map: 4,
            2, 1 or 0.5. Defaults to (4, 2, 1, 0.5).
        downsample (str): How to downsample a map by 2: ``'conv'`` for the
            convolution, or ``'avg_pool'`` for the mean of 2 x 2 cells, which
            adds no parameters (TNT's DETR, section 3.5). Defaults to
            ``'conv'``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            Xavier's, uniform.

    Raises:
        ValueError: If ``scales`` or ``downsample`` has an unknown value, or the
            numbers of ``in_channels`` and ``scales`` differ.
    """

    SCALES = (4, 2, 1, 0.5)
    DOWNSAMPLE = ('conv', 'avg_pool')

    def __init__(
        self,
        in_channels: Union[int, Sequence[int]],
        scales: Sequence[float] = SCALES,
        downsample: str = 'conv',
        init_cfg: Union[dict, List[dict], None] = dict(
            type='Xavier', layer=['Conv2d', 'ConvTranspose2d'], distribution='uniform'
        ),
    ) -> None:
        super().__init__(init_cfg)
        if isinstance(in_channels, int):
            in_channels = [in_channels] * len(scales)
        if len(in_channels) != len(scales):
            raise ValueError(
                f'in_channels={list(in_channels)} and scales={list(scales)} '
                'differ in length, but both must have one entry per map.'
            )
        check_choice('downsample', downsample, self.DOWNSAMPLE)
        self.in_channels = tuple(in_channels)
        self.layers = nn.ModuleList(
            self._make_layer(channels, scale, downsample)
            for channels, scale in zip(in_channels, scales)
        )

    @classmethod
    def _make_layer(cls, channels: int, scale: float, downsample: str) -> nn.Module:
        """Build the layer that rescales one map."""
        if scale == 4:
            return nn.ConvTranspose2d(channels, channels, 4, stride=4)
        if scale == 2:
            return nn.ConvTranspose2d(channels, channels, 4, 2, padding=1)
        if scale == 1:
            return nn.Identity()
        if scale == 0.5:
            if downsample == 'conv':
                return nn.Conv2d(channels, channels, 4, 2, padding=1)
            return nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        raise ValueError(f'scales has {scale}, expected one of {list(cls.SCALES)}.')

    def forward(self, maps: Sequence[torch.Tensor]) -> Tuple[torch.Tensor, ...]:
        """Rescale the maps.

        Args:
            maps (Sequence[torch.Tensor]): Maps, (B, C, h, w) each.

        Returns:
            tuple[torch.Tensor, ...]: Maps, (B, C, s * h, s * w) each, with the
            scale s of the map.

        Raises:
            ValueError: If the number of maps or their channels differ from
                ``in_channels``.
        """
        channels = tuple(x.shape[1] for x in maps)
        if channels != self.in_channels:
            raise ValueError(
                f'The neck receives {len(channels)} maps of {list(channels)} '
                f'channels, expected {len(self.in_channels)} of '
                f'{list(self.in_channels)}: set backbone.out_indices or '
                'neck.in_channels.'
            )
        return tuple(layer(x) for layer, x in zip(self.layers, maps))
