"""Trans2Seg's decode head (arXiv 2101.08461) on the map of a backbone."""

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


class ClassAttention(nn.Module):
    """Cross-attention of class queries to a map, which shows its maps.

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
        """Attend from queries (B, K, D) to features (B, N, D).

        Returns:
            tuple[torch.Tensor, torch.Tensor]: The update of the queries, (B,
            K, D), and the attention before its softmax, (B, K, heads, N).
        """
        q = self.q(queries).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        k, v = (
            self.kv(feats).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )
        logits = q * self.scale @ k.transpose(-2, -1)
        update = (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        return self.proj(update), logits.transpose(1, 2)


class ClassDecoderBlock(nn.Module):
    """Decoder block of three streams: queries, features, attention maps.

    The queries attend to the features; each stream then has a feed-forward
    net, that of the attention maps over the cells of the trained grid.

    Args:
        embed_dims (int): Channels D.
        num_heads (int): Number of heads.
        ffn_ratio (float): Hidden width of the feed-forward nets over their
            inputs.
        grid (tuple[int, int]): Rows and columns of the trained map.
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
        """Update the streams on a map of ``grid`` rows and columns.

        Args:
            queries (torch.Tensor): Shape (B, K, D).
            feats (torch.Tensor): Shape (B, N, D).
            attns (torch.Tensor | float): Shape (B, K, heads, N), or 0 for the
                first block.
            grid (tuple[int, int]): Rows and columns, of product N.

        Returns:
            tuple[torch.Tensor, torch.Tensor, torch.Tensor]: The three
            streams in the shapes of the inputs.
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
    """Resample maps (B, K, heads, h * w) from one grid to another."""
    if src == dst:
        return maps
    resized = F.interpolate(
        maps.unflatten(3, src).flatten(0, 1),
        size=dst,
        mode='bilinear',
        align_corners=False,
    )
    return resized.flatten(2).unflatten(0, maps.shape[:2])


@MODELS.register_module()
class Trans2SegHead(BaseDecodeHead):
    """Trans2Seg: transformer encoder and class-query decoder.

    `Segmenting Transparent Object in the Wild with Transformer
    <https://arxiv.org/abs/2101.08461>`_, as TNT (arXiv 2103.00112, Table 11)
    puts it on a plain backbone: the encoder sees the map of stride 16 pooled
    to 32, the convolutions also the map itself.

    It has the sizes of the released code and differs from it on purpose.
    Two slips are mended:

    - Residual connections add the stream that entered, where the code adds
      an update to itself.
    - Heads of the attention are transposed, not reshaped, into place.

    Other choices are ours, so that every parameter has a gradient (the code
    trains the decoder's feed-forward nets, but for one, for nothing) and any
    image size works:

    - The attention maps have a residual connection too, from block to block;
      the code takes those of the last block alone.
    - The convolutions receive the sum of the decoder's features and of the
      class's query; the code gives them the encoder's features.
    - Away from the trained size the attention maps are resampled to the
      trained grid, and the update of their feed-forward net back.
    - New layers start from Xavier's weights, as TNT's section 4.5 has it, and
      maps are resized with mmseg's default ``align_corners=False``.

    Args:
        in_channels (int): Channels of the input map.
        img_size (int | tuple[int, int]): Height and width of the training
            images (crops) in pixels. Other sizes are accepted at any time.
        stride (int): Pixels of a cell of the input map. Defaults to 16.
        embed_dims (int): Channels of encoder and decoder. Defaults to 256.
        num_layers (int): Blocks of the encoder, and of the decoder.
            Defaults to 4.
        num_heads (int): Attention heads. Defaults to 8.
        ffn_ratio (float): Hidden width of the feed-forward nets over their
            inputs. Defaults to 3.
        channels (int): Channels of the convolutions. Defaults to 64.
        init_cfg (dict | list[dict]): Initialisation. Defaults to Xavier's.
        kwargs: Other arguments of mmseg's ``BaseDecodeHead``;
            ``num_classes`` is required.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``, or the
            head is to read several maps.
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
        if (
            not isinstance(in_channels, int)
            or kwargs.get('input_transform') is not None
        ):
            raise ValueError(
                f'in_channels={in_channels}: Trans2SegHead reads one map, so '
                'in_channels and in_index must be one number each, and '
                'input_transform None.'
            )
        super().__init__(in_channels, channels, init_cfg=init_cfg, **kwargs)
        # Each class is one image of the convolutions, with one score.
        self.conv_seg = nn.Conv2d(channels, 1, kernel_size=1)

        # The pooled map, ceil(side / (2 * stride)).
        self.grid = tuple(-(-side // (2 * stride)) for side in to_2tuple(img_size))
        self.pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
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
        """Initialise the weights as ``init_cfg`` says, and the embeddings
        from a truncated normal of deviation 0.02."""
        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        for embed in (self.cls_token, self.pos_embed, self.class_embed):
            trunc_normal_(embed, std=0.02)

    def forward(self, inputs: List[torch.Tensor]) -> torch.Tensor:
        """Score every class at every cell of the input map.

        Args:
            inputs (list[torch.Tensor]): Maps of the backbone; the one at
                ``in_index`` has the shape (B, in_channels, H, W).

        Returns:
            torch.Tensor: Logits, (B, num_classes, H, W).
        """
        low = self._transform_inputs(inputs)
        batch, size = low.shape[0], low.shape[2:]
        pooled = self.pool(low)
        grid = tuple(pooled.shape[2:])
        queries, feats, attns = self._decode(self._encode(pooled), grid)

        # Queries (B, K, D, 1) + features (B, 1, D, N), and their attention
        # (B, K, heads, N): from here on each class is an image of its own.
        x = queries.unsqueeze(3) + feats.transpose(1, 2).unsqueeze(1)
        x = torch.cat([x, attns], dim=2).flatten(0, 1).unflatten(2, grid)
        x = F.interpolate(
            self.convs(x), size, mode='bilinear', align_corners=self.align_corners
        ).unflatten(0, (batch, -1))
        x = x + self.low_level(low).unsqueeze(1)
        x = self.cls_seg(self.last_conv(x.flatten(0, 1)))
        return x.view(batch, self.num_classes, *size)

    def _encode(self, x: torch.Tensor) -> torch.Tensor:
        """Encode a map (B, C, h, w) as features (B, h * w, D)."""
        pos_embed = resize_grid_tokens(
            self.pos_embed, self.grid, tuple(x.shape[2:]), self.NUM_EXTRA_TOKENS
        )
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + pos_embed
        for block in self.encoder:
            x = block(x)
        return self.norm(x)[:, self.NUM_EXTRA_TOKENS :]

    def _decode(
        self, feats: torch.Tensor, grid: Tuple[int, int]
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the decoder; the class embeddings enter every block anew."""
        classes = self.class_embed.expand(len(feats), -1, -1)
        queries = attns = 0.0
        for block in self.decoder:
            queries, feats, attns = block(queries + classes, feats, attns, grid)
        return queries, feats, attns
