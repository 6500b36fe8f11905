"""VisionSSD, a plain backbone of state-space duality with one map.

Notation of shapes:

    ====  ================================================
    B     batch size
    H, W  height and width of the image in pixels
    p     side of a patch in pixels
    N     patches of an image
    D     channels of a token
    ====  ================================================
"""

import math
from functools import partial
from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import ModuleList
from mmengine.model.weight_init import trunc_normal_

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number

from ...layers import TransformerBlock, resize_grid_tokens, resize_loaded_positions
from ...utils import is_pretrained
from ..base import Backbone, block_indices, pair_of_pixels
from .mixer import StateSpaceMixer


class VisionSSDBlock(TransformerBlock):
    """A transformer block with a ``StateSpaceMixer`` instead of attention.

    The causal mode follows Adventurer (arXiv 2410.07599): the mean of all
    tokens is put in front of them while they are mixed, and every second block
    reads the patches backwards.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads.
        backwards (bool): Whether the causal mode reads the patches from the
            last to the first.
        mixer_cfg (dict): Arguments of ``StateSpaceMixer``.
        **kwargs: See ``TransformerBlock``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        backwards: bool,
        mixer_cfg: dict,
        **kwargs,
    ) -> None:
        super().__init__(
            embed_dims, num_heads, attn=partial(StateSpaceMixer, **mixer_cfg), **kwargs
        )
        self.backwards = backwards

    def forward(  # type: ignore[override]  # It gets a grid instead of a mask.
        self, x: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        """Update the tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D), or (B, N + 1, D) with the class
                token last.
            grid (tuple[int, int]): Rows and columns of the patches.

        Returns:
            torch.Tensor: The shape of ``x``.
        """
        x = self._add(x, self.norm1, self._mix, grid)
        return self._add(x, self.norm2, self._feed_forward)

    def _mix(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        if self.attn.mode == 'non_causal':
            return self.attn(x, grid)
        x = self._flip(x, grid)
        x = self.attn(torch.cat([x.mean(dim=1, keepdim=True), x], dim=1))
        return self._flip(x[:, 1:], grid)

    def _flip(self, x: torch.Tensor, grid: Tuple[int, int]) -> torch.Tensor:
        """Reverse the patches, but not the class token."""
        if not self.backwards:
            return x
        num_patches = math.prod(grid)
        return torch.cat([x[:, :num_patches].flip(1), x[:, num_patches:]], dim=1)


@MODELS.register_module()
class VisionSSD(Backbone):
    """A vision transformer whose attention is state-space duality, of a cost that
    is linear in the number of patches.

    It has the widths and depths of DeiT and one map, as a plain backbone.
    ``expand=1`` costs less than attention at any image size, ``expand=2`` is
    the published setting of the mixer.

    Args:
        arch (str | dict): ``'tiny'`` (``'t'``), ``'small'`` (``'s'``),
            ``'base'`` (``'b'``), or a dict of the keys

            - **embed_dims** (int): Channels D of the tokens.
            - **num_layers** (int): Number of blocks.
            - **head_dims** (int): Channels of a head. It must divide
              ``expand`` * D.
            - **state_dims** (int): States of the mixers.

            Defaults to ``'small'``.
        img_size (int | tuple[int, int]): Height and width of the training
            images in pixels. Other sizes are accepted at any time: the input
            is padded to whole patches at the bottom and the right, and the
            position embeddings are resampled. Defaults to 224.
        patch_size (int): Side p of a patch in pixels. Defaults to 16.
        in_channels (int): Channels of the image. Defaults to 3.
        out_indices (int | Sequence[int]): Indices of the blocks whose output
            is returned, counted from 0, negative from the end. Later blocks
            are not built. Defaults to -1.
        out_type (str): One of

            - ``'cls_token'``: The class token, (B, D).
            - ``'featmap'``: The map of the patches, (B, D, H/p, W/p).
            - ``'avg_featmap'``: The mean of the patches, (B, D).
            - ``'raw'``: All tokens, (B, 1 + N, D), the class token first,
              or (B, N, D) without it.

            Defaults to ``'cls_token'``.
        with_cls_token (bool): Whether there is a class token. Within the blocks
            it is the last token. Defaults to True.
        mode (str): Mode of the mixers, ``'non_causal'`` or ``'causal'``; see
            ``StateSpaceMixer`` and ``VisionSSDBlock``. Defaults to
            ``'non_causal'``.
        expand (float): Ratio of the mixers' inner channels to D. Defaults to 2.
        chunk_size (int): See ``StateSpaceMixer``. Defaults to 256.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to D. Defaults to 4.
        drop_rate (float): Dropout rate after embeddings and projections.
            Defaults to 0.
        drop_path_rate (float): Stochastic depth rate of the last block; it
            increases linearly from 0 at the first. Defaults to 0.
        norm_cfg (dict): Config of the norm layers. Defaults to
            ``dict(type='LN', eps=1e-6)``.
        final_norm (bool): Whether the output of the last block is normalised.
            Defaults to True.
        frozen_stages (int): Stages to be frozen (no gradients, evaluation
            mode): 0 for the embeddings, k for the first k blocks as well, -1
            for none. Defaults to -1.
        with_cp (bool): Whether to use gradient checkpointing in the blocks.
            Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation config. Defaults
            to a truncated normal with a standard deviation of 0.02 for linear
            layers.

    Raises:
        ValueError: If an argument is not one of its choices, a block index is
            out of range, ``head_dims`` does not divide the inner channels, or
            ``out_type`` needs a class token that does not exist.

    Examples:
        >>> import torch
        >>> from mmvlfusion.models import VisionSSD
        >>> model = VisionSSD('tiny', out_type='featmap', out_indices=(5, 11))
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 200, 333))]
        [(1, 192, 13, 21), (1, 192, 13, 21)]
    """

    ARCHS = {
        'tiny': dict(embed_dims=192, num_layers=12, head_dims=64, state_dims=64),
        'small': dict(embed_dims=384, num_layers=12, head_dims=64, state_dims=64),
        'base': dict(embed_dims=768, num_layers=12, head_dims=64, state_dims=64),
    }
    SHORT_NAMES = dict(t='tiny', s='small', b='base')
    STEM = 'patch_embed.projection.weight'
    CONVERTER = 'Train one with a config of configs/vssd'
    SETTINGS = 'arch, expand, mode, patch_size and in_channels'
    OUT_TYPES = ('cls_token', 'featmap', 'avg_featmap', 'raw')

    def __init__(
        self,
        arch: Union[str, dict] = 'small',
        img_size: Union[int, Tuple[int, int]] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        out_indices: Union[int, Sequence[int]] = -1,
        out_type: str = 'cls_token',
        with_cls_token: bool = True,
        mode: str = 'non_causal',
        expand: float = 2,
        chunk_size: int = 256,
        ffn_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='LN', eps=1e-6),
        final_norm: bool = True,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: Union[dict, List[dict], None] = [
            dict(type='TruncNormal', layer='Linear', std=0.02),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ) -> None:
        settings = self._parse_arch(arch)
        depth = settings['num_layers']
        super().__init__(frozen_stages, depth, 'blocks', with_cp, init_cfg)
        self.arch = settings
        check_number('patch_size', patch_size, 1, integer=True)
        self._check_arguments(
            in_channels, ffn_ratio, drop_rate, drop_path_rate, out_type
        )
        check_number('expand', expand, 0, above=True)
        if out_type == 'cls_token' and not with_cls_token:
            raise ValueError(
                "out_type='cls_token' needs with_cls_token=True: set it, or "
                "out_type='avg_featmap'."
            )
        self.out_type = out_type
        self.out_indices = block_indices('out_indices', out_indices, depth)
        self.embed_dims = settings['embed_dims']
        self.patch_size = patch_size
        self.img_size = pair_of_pixels(img_size)
        self.patch_resolution = (
            math.ceil(self.img_size[0] / patch_size),
            math.ceil(self.img_size[1] / patch_size),
        )
        self.patch_embed = PatchEmbed(
            in_channels,
            self.embed_dims,
            kernel_size=patch_size,
            stride=patch_size,
            padding='corner',
        )
        self.pos_embed = nn.Parameter(
            torch.zeros(1, math.prod(self.patch_resolution), self.embed_dims)
        )
        self.cls_token = (
            nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if with_cls_token else None
        )
        self.drop_after_pos = nn.Dropout(drop_rate)

        num_heads = self._count_heads(expand)
        self.layers = ModuleList(
            VisionSSDBlock(
                self.embed_dims,
                num_heads,
                backwards=i % 2 == 1,
                mixer_cfg=dict(
                    expand=expand,
                    state_dims=settings['state_dims'],
                    mode=mode,
                    chunk_size=chunk_size,
                ),
                ffn_ratio=ffn_ratio,
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate * i / max(depth - 1, 1),
                norm_cfg=norm_cfg,
            )
            for i in range(max(self.out_indices) + 1)
        )
        self.norm = None
        if final_norm and len(self.layers) == depth:
            self.norm = build_norm_layer(norm_cfg, self.embed_dims)[1]
        self._freeze()

    def _count_heads(self, expand: float) -> int:
        """Number of heads of the mixers."""
        inner_dims = expand * self.embed_dims
        if inner_dims % self.arch['head_dims']:
            raise ValueError(
                f'expand={expand} times embed_dims={self.embed_dims} is '
                f'{inner_dims}, which is not divisible by '
                f'head_dims={self.arch["head_dims"]}: choose a width of the heads '
                f'that divides it.'
            )
        return int(inner_dims) // self.arch['head_dims']

    def init_weights(self) -> None:
        """Initialise the weights.

        ``init_cfg`` is followed; the class token and the position embeddings
        are drawn from a truncated normal with a standard deviation of 0.02.
        """
        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        for embed in (self.cls_token, self.pos_embed):
            if embed is not None:
                trunc_normal_(embed, std=0.02)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Compute the features of images.

        Args:
            x (torch.Tensor): Shape (B, in_channels, H, W), any H and W.

        Returns:
            tuple[torch.Tensor]: One tensor for each of ``out_indices``, in
            ascending order; ``out_type`` gives their shape.
        """
        tokens, grid = self.patch_embed(x)
        tokens = tokens + resize_grid_tokens(
            self.pos_embed, self.patch_resolution, grid
        )
        if self.cls_token is not None:
            cls_token = self.cls_token.expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens, cls_token], dim=1)
        tokens = self.drop_after_pos(tokens)

        outs = []
        for i, layer in enumerate(self.layers):
            tokens = self._run(layer, tokens, grid)
            if i == len(self.layers) - 1 and self.norm is not None:
                tokens = self.norm(tokens)
            if i in self.out_indices:
                outs.append(self._format_output(tokens, grid))
        return tuple(outs)

    def _format_output(
        self, tokens: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        num_patches = math.prod(grid)
        patches, extra = tokens[:, :num_patches], tokens[:, num_patches:]
        if self.out_type == 'raw':
            return torch.cat([extra, patches], dim=1)
        if self.out_type == 'cls_token':
            return extra[:, 0]
        if self.out_type == 'avg_featmap':
            return patches.mean(dim=1)
        # (B, N, D) -> (B, D, H/p, W/p)
        return patches.mT.unflatten(2, grid).contiguous()

    def _frozen_parts(self) -> List[Union[nn.Module, nn.Parameter]]:
        if self.frozen_stages < 0:
            return []
        parts: List[Optional[Union[nn.Module, nn.Parameter]]] = [
            self.patch_embed,
            self.pos_embed,
            self.cls_token,
            self.drop_after_pos,
            *self.layers[: self.frozen_stages],
        ]
        if self.frozen_stages == self.arch['num_layers']:
            parts.append(self.norm)
        return [part for part in parts if part is not None]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        self._check_checkpoint(
            state_dict, prefix, is_resized=lambda name: name == 'pos_embed'
        )
        self._check_parts(state_dict, prefix)
        resize_loaded_positions(state_dict, prefix + 'pos_embed', self.patch_resolution)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_parts(self, state_dict: dict, prefix: str) -> None:
        """Raise an error for a checkpoint with other blocks or class token."""
        start = f'{prefix}layers.'
        found = {
            int(key[len(start) :].split('.')[0])
            for key in state_dict
            if key.startswith(start)
        }
        expected = len(self.layers)
        is_whole = expected == self.arch['num_layers']
        if len(found) < expected or (is_whole and len(found) > expected):
            raise ValueError(
                'The checkpoint is of another architecture: it has '
                f'{len(found)} blocks, expected {expected}. Check num_layers.'
            )
        has_token = f'{prefix}cls_token' in state_dict
        if has_token != (self.cls_token is not None):
            raise ValueError(
                'The checkpoint is of another architecture: it has '
                f'{"a" if has_token else "no"} class token. Set '
                f'with_cls_token={has_token}.'
            )
