"""Trans2Seg's decode head (arXiv 2101.08461) for a plain backbone.

Notation of shapes:

    ====  ==============================================
    B     batch size
    K     classes, one query each
    N     tokens of the pooled map, h * w
    D     channels of encoder and decoder
    H W   height and width of the input map in cells
    h w   height and width of the pooled map in cells
    ====  ==============================================
"""

import math
from typing import List, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import ModuleList
from mmengine.model.weight_init import trunc_normal_
from mmengine.utils import to_2tuple
from mmseg.models.decode_heads.decode_head import BaseDecodeHead

from mmvlfusion.models.utils import is_pretrained
from mmvlfusion.registry import MODELS

from ..layers import TransformerBlock, resize_grid_tokens

# Side of the average pooling before the encoder.
POOLING = 2


class ClassAttention(nn.Module):
    """Cross-attention from class queries to a feature map.

    It also returns the attention logits.

    Args:
        embed_dims (int): Channels D.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (embed_dims // num_heads) ** -0.5
        self.q = nn.Linear(embed_dims, embed_dims, bias=False)
        self.kv = nn.Linear(embed_dims, 2 * embed_dims, bias=False)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(
        self, queries: torch.Tensor, feats: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Attend from queries to features.

        Args:
            queries (torch.Tensor): Shape (B, K, D).
            feats (torch.Tensor): Shape (B, N, D).

        Returns:
            tuple[torch.Tensor, torch.Tensor]: The update of the queries, (B,
            K, D), and the attention logits, (B, K, heads, N).
        """
        # (B, K, D) -> (B, heads, K, D / heads)
        q = self.q(queries).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        # (B, N, 2 * D) -> (2, B, heads, N, D / heads)
        kv = self.kv(feats).unflatten(2, (2, self.num_heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        logits = q * self.scale @ k.transpose(-2, -1)
        # (B, heads, K, D / heads) -> (B, K, D)
        update = (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        return self.proj(update), logits.transpose(1, 2)


class ClassDecoderBlock(nn.Module):
    """Decoder block with three streams: queries, features, attention maps.

    The queries attend to the features. Then each stream has a feed-forward
    network. That of the attention maps runs over the cells of the trained grid.

    Args:
        embed_dims (int): Channels D.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to their input width.
        grid (tuple[int, int]): Rows and columns of the pooled map in training.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, ffn_ratio: float, grid: Tuple[int, int]
    ) -> None:
        super().__init__()
        cells = grid[0] * grid[1]
        self.grid = grid
        self.attn = ClassAttention(embed_dims, num_heads)
        self.query_norm = nn.LayerNorm(embed_dims)
        self.feat_norm = nn.LayerNorm(embed_dims)
        self.query_ffn = self._make_ffn(embed_dims, ffn_ratio)
        self.feat_ffn = self._make_ffn(embed_dims, ffn_ratio)
        self.attn_ffn = self._make_ffn(cells, ffn_ratio)

    @staticmethod
    def _make_ffn(dims: int, ratio: float) -> nn.Sequential:
        ffn = FFN(
            dims, int(dims * ratio), act_cfg=dict(type='GELU'), add_identity=False
        )
        return nn.Sequential(nn.LayerNorm(dims), ffn)

    def forward(
        self,
        queries: torch.Tensor,
        feats: torch.Tensor,
        attns: Union[torch.Tensor, float],
        grid: Tuple[int, int],
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Update the streams.

        Args:
            queries (torch.Tensor): Shape (B, K, D).
            feats (torch.Tensor): Shape (B, N, D).
            attns (torch.Tensor | float): Shape (B, K, heads, N), or 0 for the
                first block.
            grid (tuple[int, int]): Rows and columns (h, w) of the map.

        Returns:
            tuple[torch.Tensor, torch.Tensor, torch.Tensor]: Queries, features
            and attention maps, in the shapes of the inputs.
        """
        update, logits = self.attn(self.query_norm(queries), self.feat_norm(feats))
        queries = queries + update
        queries = queries + self.query_ffn(queries)
        feats = feats + self.feat_ffn(feats)
        attns = attns + logits
        update = self.attn_ffn(_resize_maps(attns, grid, self.grid))
        return queries, feats, attns + _resize_maps(update, self.grid, grid)


def _resize_maps(
    maps: torch.Tensor, src: Tuple[int, int], dst: Tuple[int, int]
) -> torch.Tensor:
    """Resize maps (B, K, heads, h * w) from one grid to another."""
    if src == dst:
        return maps
    # (B, K, heads, h * w) -> (B * K, heads, h, w)
    images = maps.unflatten(3, src).flatten(0, 1)
    images = F.interpolate(images, size=dst, mode='bilinear', align_corners=False)
    return images.flatten(2).unflatten(0, maps.shape[:2])


@MODELS.register_module()
class Trans2SegHead(BaseDecodeHead):
    """Trans2Seg: transformer encoder and class-query decoder.

    `Segmenting Transparent Object in the Wild with Transformer
    <https://arxiv.org/abs/2101.08461>`_, used with a plain backbone as in TNT
    (arXiv 2103.00112, Table 11): the encoder reads the map of stride 16 pooled
    to stride 32; the convolutions also read the map itself.

    The sizes are those of the released code. Two errors of that code are
    fixed:

    - Residual connections add the input of the block. The code adds an update
      to itself.
    - The heads of the attention output are transposed before they are merged.
      The code reshapes without the transposition.

    Other differences are design choices. They give every parameter a gradient
    (in the released code all but one of the decoder's feed-forward networks get
    none) and support any image size:

    - The attention maps have a residual connection from block to block. The
      code uses those of the last block only.
    - The convolutions receive the sum of the decoder's features and the class
      query. The code uses the encoder's features.
    - At other image sizes the attention maps are resized to the trained grid,
      and the update of their feed-forward network is resized back.
    - New layers have Xavier's initialisation, as in TNT (section 4.5), and maps
      are resized with mmseg's default ``align_corners=False``.

    Args:
        in_channels (int): Channels of the input map.
        img_size (int | tuple[int, int]): Height and width of the training
            images (crops) in pixels. Other sizes are accepted at any time.
        stride (int): Stride of the input map in pixels. Defaults to 16.
        embed_dims (int): Channels D of encoder and decoder. Defaults to 256.
        num_layers (int): Number of encoder blocks and of decoder blocks.
            Defaults to 4.
        num_heads (int): Number of attention heads. Defaults to 8.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to their input width. Defaults to 3.
        channels (int): Channels of the convolutions. Defaults to 64.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            Xavier's.
        **kwargs: Other arguments of mmseg's ``BaseDecodeHead``.
            ``num_classes`` is required.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``, or if
            ``in_channels`` or ``input_transform`` select several maps.
    """

    NUM_EXTRA_TOKENS = 1

    def __init__(
        self,
        in_channels: int,
        img_size: Union[int, Tuple[int, int]],
        stride: int = 16,
        embed_dims: int = 256,
        num_layers: int = 4,
        num_heads: int = 8,
        ffn_ratio: float = 3.0,
        channels: int = 64,
        init_cfg: Union[dict, List[dict], None] = [
            dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
            dict(type='Constant', layer=['LayerNorm', '_BatchNorm'], val=1.0, bias=0.0),
        ],
        **kwargs,
    ) -> None:
        input_transform = kwargs.get('input_transform')
        if not isinstance(in_channels, int) or input_transform is not None:
            raise ValueError(
                f'in_channels={in_channels} and input_transform='
                f'{input_transform!r}: Trans2SegHead reads one map, so set '
                'in_channels and in_index to one number each, and '
                'input_transform=None.'
            )
        super().__init__(in_channels, channels, init_cfg=init_cfg, **kwargs)
        # The convolutions process each class as a separate image with one score
        # per cell.
        self.conv_seg = nn.Conv2d(channels, 1, kernel_size=1)

        # Rows and columns of the pooled map in training.
        height, width = to_2tuple(img_size)
        self.grid = (
            math.ceil(height / (POOLING * stride)),
            math.ceil(width / (POOLING * stride)),
        )
        self.pool = nn.AvgPool2d(POOLING, ceil_mode=True, count_include_pad=False)
        self.embed = nn.Linear(in_channels, embed_dims)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.pos_embed = nn.Parameter(
            torch.zeros(
                1, self.NUM_EXTRA_TOKENS + self.grid[0] * self.grid[1], embed_dims
            )
        )
        self.class_embed = nn.Parameter(torch.zeros(1, self.num_classes, embed_dims))
        self.encoder = ModuleList(
            TransformerBlock(embed_dims, num_heads, ffn_ratio)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.decoder = ModuleList(
            ClassDecoderBlock(embed_dims, num_heads, ffn_ratio, self.grid)
            for _ in range(num_layers)
        )

        conv_cfg = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.low_level = ConvModule(in_channels, channels, 1, **conv_cfg)
        self.convs = nn.Sequential(
            *[
                DepthwiseSeparableConvModule(width, channels, 3, padding=1, **conv_cfg)
                for width in (embed_dims + num_heads, channels)
            ]
        )
        self.last_conv = DepthwiseSeparableConvModule(
            channels, channels, 3, padding=1, **conv_cfg
        )

    def init_weights(self) -> None:
        """Initialise the layers by ``init_cfg``, and the embeddings from a
        truncated normal distribution with a standard deviation of 0.02."""
        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        for embed in (self.cls_token, self.pos_embed, self.class_embed):
            trunc_normal_(embed, std=0.02)

    def forward(self, inputs: List[torch.Tensor]) -> torch.Tensor:
        """Compute the logits of every class at every cell of the input map.

        Args:
            inputs (list[torch.Tensor]): Maps of the backbone. The one at
                ``in_index`` has the shape (B, in_channels, H, W).

        Returns:
            torch.Tensor: Logits, (B, K, H, W).
        """
        low = self._transform_inputs(inputs)
        batch, size = low.shape[0], low.shape[2:]
        pooled = self.pool(low)
        grid = tuple(pooled.shape[2:])
        queries, feats, attns = self._decode(self._encode(pooled), grid)

        # (B, K, D, 1) + (B, 1, D, N) -> (B, K, D, N)
        x = queries.unsqueeze(3) + feats.transpose(1, 2).unsqueeze(1)
        x = torch.cat([x, attns], dim=2)
        # (B, K, D + heads, N) -> (B * K, D + heads, h, w)
        x = x.flatten(0, 1).unflatten(2, grid)
        x = F.interpolate(
            self.convs(x), size, mode='bilinear', align_corners=self.align_corners
        )
        # (B * K, channels, H, W) -> (B, K, channels, H, W)
        x = x.unflatten(0, (batch, -1)) + self.low_level(low).unsqueeze(1)
        # (B * K, channels, H, W) -> (B * K, 1, H, W)
        x = self.cls_seg(self.last_conv(x.flatten(0, 1)))
        return x.view(batch, self.num_classes, *size)

    def _encode(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a map (B, in_channels, h, w) as features (B, N, D)."""
        pos_embed = resize_grid_tokens(
            self.pos_embed, self.grid, tuple(x.shape[2:]), self.NUM_EXTRA_TOKENS
        )
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + pos_embed
        for block in self.encoder:
            x = block(x)
        return self.norm(x)[:, self.NUM_EXTRA_TOKENS :]

    def _decode(
        self, feats: torch.Tensor, grid: Tuple[int, int]
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the decoder; the class embeddings are added before every block."""
        classes = self.class_embed.expand(len(feats), -1, -1)
        queries = 0.0
        attns = 0.0
        for block in self.decoder:
            queries, feats, attns = block(queries + classes, feats, attns, grid)
        return queries, feats, attns
