"""VSSD, a hierarchical backbone of state-space duality (arXiv 2407.18559).

Notation of shapes:

    ====  ================================================
    B     batch size
    H, W  height and width of the image in pixels
    h, w  rows and columns of a map
    N     cells of a map, h * w
    d     channels of the first stage
    D     channels of a stage, d * 2^i for stage i
    ====  ================================================
"""

from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from mmengine.model import ModuleList

from mmvlfusion.registry import MODELS

from ...layers import SelfAttention, TransformerBlock
from ..base import Backbone, block_indices
from .mixer import StateSpaceMixer, convolve_map


class MapAttention(SelfAttention):
    """Self-attention of the cells of a map, whose grid it does not read.

    Args:
        **kwargs: See ``SelfAttention``.
    """

    def forward(  # type: ignore[override]  # It gets a grid instead of a mask.
        self, x: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        """Attend from all cells to all of them.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            grid (tuple[int, int]): Rows and columns (h, w).

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        return super().forward(x)


class VSSDBlock(TransformerBlock):
    """A transformer block of a map with a convolution before each half.

    Args:
        embed_dims (int): Channels D of the map.
        num_heads (int): Number of heads.
        attn (Callable): Class of the token mixer.
        **kwargs: See ``TransformerBlock``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        attn: Callable[..., nn.Module],
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, attn=attn, **kwargs)
        self.conv1 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)
        self.conv2 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)

    def forward(  # type: ignore[override]  # It gets a grid instead of a mask.
        self, x: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        """Update the map.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            grid (tuple[int, int]): Rows and columns (h, w).

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        x = x + convolve_map(self.conv1, x, grid)
        x = self._add(x, self.norm1, self.attn, grid)
        x = x + convolve_map(self.conv2, x, grid)
        return self._add(x, self.norm2, self._feed_forward)


class VSSDStem(nn.Module):
    """Convolutions from an image to a map of stride 4.

    Args:
        in_channels (int): Channels of the image.
        embed_dims (int): Channels d of the map, an even number.
    """

    def __init__(self, in_channels: int, embed_dims: int) -> None:
        super().__init__()
        half = embed_dims // 2
        self.conv1 = _conv(in_channels, half, 3, stride=2, bias=False, norm=True)
        self.conv2 = nn.Sequential(
            _conv(half, half, 3, bias=False, norm=True),
            _conv(half, half, 3, bias=False, norm=True, act=False),
        )
        self.conv3 = nn.Sequential(
            _conv(half, 4 * embed_dims, 3, stride=2, bias=False, norm=True),
            _conv(4 * embed_dims, embed_dims, 1, bias=False, norm=True, act=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images.

        Args:
            x (torch.Tensor): Shape (B, in_channels, H, W).

        Returns:
            torch.Tensor: Shape (B, d, H / 4, W / 4), each side halved twice and
            rounded up.
        """
        x = self.conv1(x)
        return self.conv3(x + self.conv2(x))


class VSSDStage(nn.Module):
    """Merging of the previous stage's map and the blocks of one stage.

    Args:
        merge (nn.Module, optional): Halves the sides of the map and doubles its
            channels. None in the first stage.
        blocks (list[VSSDBlock]): The blocks.
    """

    def __init__(self, merge: Optional[nn.Module], blocks: List[VSSDBlock]) -> None:
        super().__init__()
        self.merge = merge
        self.blocks = ModuleList(blocks)

    @staticmethod
    def make_merge(embed_dims: int) -> nn.Module:
        """Build the merging layers.

        Args:
            embed_dims (int): Channels D of the previous stage.

        Returns:
            nn.Module: The layers, from (B, D, h, w) to (B, 2 * D, h / 2, w / 2)
            with the sides rounded up.
        """
        hidden = 8 * embed_dims
        return nn.Sequential(
            _conv(embed_dims, hidden, 1),
            _conv(hidden, hidden, 3, stride=2, groups=hidden),
            _conv(hidden, 2 * embed_dims, 1, norm=True, act=False),
        )


@MODELS.register_module()
class VSSD(Backbone):
    """Vision with non-causal state-space duality,
    `<https://arxiv.org/abs/2407.18559>`_.

    The mixers of all stages but the last are non-causal ``StateSpaceMixer``;
    the last stage has softmax attention. There are no position embeddings. The
    sides of the map are halved with rounding up, so that an image of any size
    is accepted.

    Args:
        arch (str | dict): ``'micro'`` (``'m'``), ``'tiny'`` (``'t'``),
            ``'small'`` (``'s'``), ``'base'`` (``'b'``), or a dict of the keys

            - **embed_dims** (int): Channels d of the first stage.
            - **depths** (Sequence[int]): Number of blocks of each stage.
            - **num_heads** (Sequence[int]): Heads of each stage.
            - **state_dims** (int): States of the mixers.

            Defaults to ``'tiny'``.
        in_channels (int): Channels of the image. Defaults to 3.
        out_indices (int | Sequence[int]): Indices of the stages whose output
            is returned, counted from 0, negative from the end. Later stages
            are not built. Each output has its own norm. Defaults to -1.
        out_type (str): One of

            - ``'featmap'``: The map, (B, D, h, w).
            - ``'avg_featmap'``: The mean of its cells, (B, D).
            - ``'raw'``: Its cells as tokens, (B, N, D).

            Defaults to ``'avg_featmap'``, for classification.
        expand (float): Ratio of the mixers' inner channels to D. Defaults to 2.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to D. Defaults to 4.
        drop_rate (float): Dropout rate after projections. Defaults to 0.
        drop_path_rate (float): Stochastic depth rate of the last block; it
            increases linearly from 0 at the first. Defaults to 0.
        norm_cfg (dict): Config of the norm layers of tokens. Defaults to
            ``dict(type='LN', eps=1e-5)``.
        frozen_stages (int): Stages to be frozen (no gradients, evaluation
            mode): 0 for the stem, k for the first k stages as well, -1 for
            none. Defaults to -1.
        with_cp (bool): Whether to use gradient checkpointing in the blocks.
            Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation config. Defaults
            to a truncated normal with a standard deviation of 0.02 for linear
            layers.

    Raises:
        ValueError: If an argument is not one of its choices, a stage index is
            out of range, or the numbers of ``arch`` do not fit each other.

    Examples:
        >>> import torch
        >>> from mmvlfusion.models import VSSD
        >>> model = VSSD('micro', out_type='featmap', out_indices=(0, 1, 2, 3))
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 200, 333))]
        [(1, 48, 50, 84), (1, 96, 25, 42), (1, 192, 13, 21), (1, 384, 7, 11)]
    """

    ARCHS = {
        'micro': dict(
            embed_dims=48, depths=(2, 2, 8, 4), num_heads=(2, 4, 8, 16), state_dims=48
        ),
        'tiny': dict(
            embed_dims=64, depths=(2, 4, 8, 4), num_heads=(2, 4, 8, 16), state_dims=64
        ),
        'small': dict(
            embed_dims=64, depths=(3, 4, 21, 5), num_heads=(2, 4, 8, 16), state_dims=64
        ),
        'base': dict(
            embed_dims=96, depths=(3, 4, 21, 5), num_heads=(3, 6, 12, 24), state_dims=64
        ),
    }
    SHORT_NAMES = dict(m='micro', t='tiny', s='small', b='base')
    STEM = 'stem.conv1.0.weight'
    CONVERTER = "Convert the authors' weights with tools/model_converters/vssd.py"
    SETTINGS = 'arch, expand, ffn_ratio and in_channels'
    OUT_TYPES = ('featmap', 'avg_featmap', 'raw')

    def __init__(
        self,
        arch: Union[str, dict] = 'tiny',
        in_channels: int = 3,
        out_indices: Union[int, Sequence[int]] = -1,
        out_type: str = 'avg_featmap',
        expand: float = 2,
        ffn_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='LN', eps=1e-5),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: Union[dict, List[dict], None] = [
            dict(type='TruncNormal', layer='Linear', std=0.02),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ) -> None:
        settings = self._parse_arch(arch)
        depths = settings['depths']
        super().__init__(frozen_stages, len(depths), 'stages', with_cp, init_cfg)
        self.arch = settings
        self._check_arch()
        self._check_arguments(
            in_channels, ffn_ratio, drop_rate, drop_path_rate, out_type
        )
        self.out_type = out_type
        self.out_indices = block_indices(
            'out_indices', out_indices, len(depths), 'stages'
        )
        self.embed_dims = [settings['embed_dims'] * 2**i for i in range(len(depths))]

        self.stem = VSSDStem(in_channels, settings['embed_dims'])
        last = max(sum(depths) - 1, 1)
        self.stages = ModuleList()
        for i in range(max(self.out_indices) + 1):
            mixer: Callable[..., nn.Module] = partial(
                StateSpaceMixer, expand=expand, state_dims=settings['state_dims']
            )
            if i == len(depths) - 1:
                mixer = MapAttention
            blocks = [
                VSSDBlock(
                    self.embed_dims[i],
                    settings['num_heads'][i],
                    attn=mixer,
                    ffn_ratio=ffn_ratio,
                    drop_rate=drop_rate,
                    drop_path_rate=drop_path_rate * index / last,
                    norm_cfg=norm_cfg,
                )
                for index in range(sum(depths[:i]), sum(depths[: i + 1]))
            ]
            merge = VSSDStage.make_merge(self.embed_dims[i - 1]) if i else None
            self.stages.append(VSSDStage(merge, blocks))
        for i in self.out_indices:
            norm = build_norm_layer(norm_cfg, self.embed_dims[i])[1]
            self.add_module(f'norm{i}', norm)
        self._freeze()

    def _check_arch(self) -> None:
        depths, num_heads = self.arch['depths'], self.arch['num_heads']
        if not depths or len(depths) != len(num_heads):
            raise ValueError(
                f'arch has depths={tuple(depths)} and num_heads={tuple(num_heads)}: '
                'give one number for each stage in both.'
            )
        if self.arch['embed_dims'] % 2:
            raise ValueError(
                f'arch has embed_dims={self.arch["embed_dims"]}, but the stem needs '
                'an even number.'
            )

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Compute the features of images.

        Args:
            x (torch.Tensor): Shape (B, in_channels, H, W), any H and W.

        Returns:
            tuple[torch.Tensor]: One tensor for each of ``out_indices``, in
            ascending order; ``out_type`` gives their shape.
        """
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            if stage.merge is not None:
                x = stage.merge(x)
            grid = (x.shape[2], x.shape[3])
            # (B, D, h, w) -> (B, N, D)
            tokens = x.flatten(2).mT.contiguous()
            for block in stage.blocks:
                tokens = self._run(block, tokens, grid)
            if i in self.out_indices:
                tokens_out = self.get_submodule(f'norm{i}')(tokens)
                outs.append(self._format_output(tokens_out, grid))
            x = tokens.mT.unflatten(2, grid)
        return tuple(outs)

    def _format_output(
        self, tokens: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'avg_featmap':
            return tokens.mean(dim=1)
        # (B, N, D) -> (B, D, h, w)
        return tokens.mT.unflatten(2, grid).contiguous()

    def _frozen_parts(self) -> List[Union[nn.Module, nn.Parameter]]:
        if self.frozen_stages < 0:
            return []
        parts = [self.stem]
        for i, stage in enumerate(self.stages[: self.frozen_stages]):
            parts.append(stage)
            if i in self.out_indices:
                parts.append(self.get_submodule(f'norm{i}'))
        return parts

    @property
    def num_blocks(self) -> int:
        """int: Number of blocks that are built."""
        return sum(len(stage.blocks) for stage in self.stages)

    def _block_of(self, name: str) -> Optional[int]:
        """See ``Backbone``; merging layers belong to the block behind them."""
        parts = name.split('.')
        if parts[0] != 'stages':
            return None
        before = sum(self.arch['depths'][: int(parts[1])])
        return before + (int(parts[3]) if parts[2] == 'blocks' else 0)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        self._check_checkpoint(state_dict, prefix)
        self._check_depths(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_depths(self, state_dict: dict, prefix: str) -> None:
        """Raise an error for a checkpoint with other numbers of blocks."""
        for i, stage in enumerate(self.stages):
            start = f'{prefix}stages.{i}.blocks.'
            found = {
                key[len(start) :].split('.')[0]
                for key in state_dict
                if key.startswith(start)
            }
            if len(found) != len(stage.blocks):
                raise ValueError(
                    'The checkpoint is of another architecture: it has '
                    f'{len(found)} blocks in stage {i}, expected '
                    f'{len(stage.blocks)}. Check arch.'
                )


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    bias: bool = True,
    norm: bool = False,
    act: bool = True,
) -> nn.Sequential:
    """A padded convolution, with batch norm and ReLU as selected.

    mmcv's ``ConvModule`` initialises the convolution differently.
    """
    layers: List[nn.Module] = [
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=bias,
        )
    ]
    if norm:
        layers.append(nn.BatchNorm2d(out_channels))
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
