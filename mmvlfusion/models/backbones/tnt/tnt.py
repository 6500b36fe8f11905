"""TNT, the Transformer-in-Transformer backbone (arXiv 2103.00112).

Notation of shapes:

    ====  ================================================
    B     batch size
    H, W  height and width of the image in pixels
    p     side of a patch in pixels
    N     patches of an image ("sentences")
    m     words of a patch
    c     channels of a word
    d     channels of a sentence
    ====  ================================================
"""

import math
from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import ModuleList
from mmengine.model.weight_init import trunc_normal_

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number
from mmvlfusion.utils.torch_versions import is_symbolic

from ...layers import (
    TransformerBlock,
    resize_grid_tokens,
    resize_loaded_positions,
)
from ...utils import is_pretrained, is_sharded
from ..base import Backbone, block_indices, pair_of_pixels
from .attention import ClassTokenBlock, TNTAttention
from .embed import WordEmbed, WordsToSentence
from .inner_block import BACKENDS, FusedInnerBlock
from .squeeze_excitation import SqueezeExcitation


class TNTBlock(nn.Module):
    """A TNT block: an inner transformer block over the words of each patch, and
    an outer one over the sentences (paper Eq. 6-10).

    Args:
        inner (nn.Module, optional): Transformer block of the words, or None
            for a block without inner transformer (paper Table 5).
        to_sentence (nn.Module, optional): Projection of the words of a patch
            that is added to its sentence; None together with ``inner``.
        outer (nn.Module): Transformer block of the sentences.
    """

    def __init__(
        self,
        inner: Optional[nn.Module],
        to_sentence: Optional[nn.Module],
        outer: nn.Module,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.to_sentence = to_sentence
        self.outer = outer

    def forward(
        self, words: torch.Tensor, sentences: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Update words and sentences.

        Args:
            words (torch.Tensor): Shape (B * N, m, c).
            sentences (torch.Tensor): Shape (B, 1 + N, d), the class token
                first.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: The updated words and sentences;
            of the latter what ``outer`` returns.
        """
        if self.inner is not None and self.to_sentence is not None:
            words = self.inner(words)
            update = self.to_sentence(words, sentences.shape[0])
            # (B, N, d) -> (B, 1 + N, d): the class token has no words.
            sentences = sentences + F.pad(update, (0, 0, 1, 0))
        return words, self.outer(sentences)


@MODELS.register_module()
class TNT(Backbone):
    """Transformer in Transformer, `<https://arxiv.org/abs/2103.00112>`_.

    Args:
        arch (str | dict): ``'tiny'`` (``'t'``), ``'small'`` (``'s'``),
            ``'base'`` (``'b'``), or a dict of the keys

            - **embed_dims_outer** (int): Channels d of a sentence.
            - **embed_dims_inner** (int): Channels c of a word.
            - **num_layers** (int): Number of blocks.
            - **num_heads_outer** (int): Heads of the outer attention.
            - **num_heads_inner** (int): Heads of the inner attention (paper
              Table 7).
            - **word_size** (int): Side of a word in pixels (paper Table 8: a
              16-pixel patch has m = 16 words at 4 pixels, 64 at 2, 4 at 8).

            Defaults to ``'small'``.
        img_size (int | tuple[int, int]): Height and width of the training
            images in pixels. Other sizes are accepted at any time: the input
            is padded to whole patches at the bottom and the right, and the
            sentence positions are resampled. Defaults to 224.
        patch_size (int): Side of a patch in pixels. Defaults to 16.
        in_channels (int): Channels of the image. Defaults to 3.
        out_indices (int | Sequence[int]): Indices of the blocks whose output
            is returned, counted from 0, negative from the end. Later blocks
            are not built. Defaults to -1.
        out_type (str): One of

            - ``'cls_token'``: The class token, (B, d).
            - ``'featmap'``: The feature map of the sentences,
              (B, d, H/p, W/p).
            - ``'avg_featmap'``: The mean of the sentences, (B, d).
            - ``'raw'``: All tokens, (B, 1 + N, d), the class token first.

            Defaults to ``'cls_token'``.
        variant (str): ``'official'``, the architecture of the authors'
            released code (and timm's ``tnt_*_patch16_224``), or ``'legacy'``,
            that of mmpretrain's TNT (and timm's ``tnt_s_legacy_*``). They
            differ in the padding of the stem and in the norm and bias of the
            word-to-sentence projections. Defaults to ``'official'``.
        inner_blocks (str | Sequence[int]): ``'all'``, or the indices of the
            blocks with an inner transformer, counted from 0; (0, 3, 7, 11) is
            the paper's TNT-S-1 (Table 5). Defaults to ``'all'``.
        with_se (bool): Whether the outer feed-forward networks have
            squeeze-and-excitation (paper Table 12). Defaults to False.
        sentence_pos (bool): Whether sentences have position embeddings
            (paper Table 6). Defaults to True.
        word_pos (bool): Whether words have position embeddings (paper
            Table 6). Defaults to True.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            networks to their channels. Defaults to 4.
        drop_rate (float): Dropout rate after embeddings and projections.
            Defaults to 0.
        drop_path_rate (float): Stochastic depth rate of the last block; it
            increases linearly from 0 at the first. Defaults to 0.
        norm_cfg (dict): Config of the norm layers. Defaults to
            ``dict(type='LN', eps=1e-5)``.
        final_norm (bool): Whether the output of the last block is normalised.
            Defaults to True.
        cls_only_last_block (bool): Whether the last block only updates the
            class token, which saves 7 % of the operations of TNT-S. The output
            is the same, but hooks on that block see the class token only.
            Needs ``out_type='cls_token'`` and no squeeze-and-excitation.
            Defaults to False.
        inner_backend (str): How the inner blocks run. Parameters and outputs are
            the same.

            - ``'pytorch'``: Layer by layer; see ``TNTAttention``.
            - ``'triton'``: Each as one kernel on a GPU; see ``FusedInnerBlock``.

            Defaults to ``'pytorch'``: no measurement shows that the kernel is
            faster.
        frozen_stages (int): Stages to be frozen (no gradients, evaluation
            mode): 0 for the embeddings, k for the first k blocks as well, -1
            for none. Defaults to -1.
        with_cp (bool): Whether to use gradient checkpointing in the blocks.
            Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation config. Defaults
            to a truncated normal with a standard deviation of 0.02 for linear
            layers.

    Raises:
        ImportError: If ``inner_backend`` needs a package that is missing.
        ValueError: If an argument is not one of its choices, a block index is
            out of range, or ``cls_only_last_block`` or ``inner_backend`` does not
            fit.

    Examples:
        >>> import torch
        >>> from mmvlfusion.models import TNT
        >>> model = TNT('small', out_type='featmap', out_indices=(5, 11))
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 200, 333))]
        [(1, 384, 13, 21), (1, 384, 13, 21)]
    """

    ARCHS = {
        'tiny': dict(
            embed_dims_outer=192,
            embed_dims_inner=12,
            num_layers=12,
            num_heads_outer=3,
            num_heads_inner=2,
            word_size=4,
        ),
        'small': dict(
            embed_dims_outer=384,
            embed_dims_inner=24,
            num_layers=12,
            num_heads_outer=6,
            num_heads_inner=4,
            word_size=4,
        ),
        'base': dict(
            embed_dims_outer=640,
            embed_dims_inner=40,
            num_layers=12,
            num_heads_outer=10,
            num_heads_inner=4,
            word_size=4,
        ),
    }
    SHORT_NAMES = dict(t='tiny', s='small', b='base')
    STEM = 'word_embed.projection.weight'
    CONVERTER = (
        'Convert weights of other implementations with tools/model_converters/tnt.py'
    )
    SETTINGS = 'arch, variant, patch_size and in_channels'
    VARIANTS = ('official', 'legacy')
    OUT_TYPES = ('cls_token', 'featmap', 'avg_featmap', 'raw')
    NUM_EXTRA_TOKENS = 1

    def __init__(
        self,
        arch: Union[str, dict] = 'small',
        img_size: Union[int, Tuple[int, int]] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        out_indices: Union[int, Sequence[int]] = -1,
        out_type: str = 'cls_token',
        variant: str = 'official',
        inner_blocks: Union[str, Sequence[int]] = 'all',
        with_se: bool = False,
        sentence_pos: bool = True,
        word_pos: bool = True,
        ffn_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='LN', eps=1e-5),
        final_norm: bool = True,
        cls_only_last_block: bool = False,
        inner_backend: str = 'pytorch',
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
        check_choice('variant', variant, self.VARIANTS)
        check_choice('inner_backend', inner_backend, BACKENDS)
        if cls_only_last_block and (out_type != 'cls_token' or with_se):
            raise ValueError(
                f"cls_only_last_block=True needs out_type='cls_token' and "
                f'with_se=False, got out_type={out_type!r} and '
                f'with_se={with_se}: set cls_only_last_block=False.'
            )
        self.variant = variant
        self.inner_backend = inner_backend
        self.out_type = out_type
        self.patch_size = patch_size
        self.embed_dims = self.arch['embed_dims_outer']
        self.out_indices = block_indices('out_indices', out_indices, depth)
        if inner_blocks == 'all':
            inner_blocks = range(depth)
        else:
            inner_blocks = block_indices('inner_blocks', inner_blocks, depth)

        self.img_size = pair_of_pixels(img_size)
        self.patch_resolution = self._grid(*self.img_size)
        word_dims = self.arch['embed_dims_inner']
        self.word_embed = WordEmbed(
            in_channels,
            word_dims,
            patch_size,
            self.arch['word_size'],
            per_patch=variant == 'official',
        )
        num_words = self.word_embed.words_per_side**2
        self.word_pos_embed = (
            self._make_positions(num_words, word_dims) if word_pos else None
        )
        self.sentence_embed = WordsToSentence(
            num_words,
            word_dims,
            self.embed_dims,
            joint_norm=True,
            bias=True,
            out_norm=True,
            norm_cfg=norm_cfg,
        )
        self.cls_token = self._make_positions(1, self.embed_dims)
        num_tokens = self.NUM_EXTRA_TOKENS + math.prod(self.patch_resolution)
        self.sentence_pos_embed = (
            self._make_positions(num_tokens, self.embed_dims) if sentence_pos else None
        )
        self.drop_after_pos = nn.Dropout(drop_rate)

        self.layers = ModuleList()
        for i in range(max(self.out_indices) + 1):
            is_last = i == max(self.out_indices)
            self.layers.append(
                self._make_block(
                    num_words,
                    has_inner=i in inner_blocks,
                    cls_only=is_last and cls_only_last_block,
                    with_se=with_se,
                    ffn_ratio=ffn_ratio,
                    drop_rate=drop_rate,
                    drop_path_rate=drop_path_rate * i / max(depth - 1, 1),
                    norm_cfg=norm_cfg,
                )
            )
        self.norm = None
        if final_norm and len(self.layers) == depth:
            self.norm = build_norm_layer(norm_cfg, self.embed_dims)[1]
        self._freeze()

    @staticmethod
    def _make_positions(num_tokens: int, dims: int) -> nn.Parameter:
        return nn.Parameter(torch.zeros(1, num_tokens, dims))

    def _make_block(
        self, num_words: int, has_inner: bool, cls_only: bool, with_se: bool, **kwargs
    ) -> TNTBlock:
        word_dims = self.arch['embed_dims_inner']
        is_official = self.variant == 'official'
        inner = to_sentence = None
        if has_inner:
            block: Callable[..., nn.Module] = TransformerBlock
            if self.inner_backend == 'triton':
                block = partial(FusedInnerBlock, num_words=num_words)
            inner = block(
                word_dims,
                self.arch['num_heads_inner'],
                attn=partial(TNTAttention, short_sequences=True),
                **kwargs,
            )
            to_sentence = WordsToSentence(
                num_words,
                word_dims,
                self.embed_dims,
                joint_norm=is_official,
                bias=not is_official,
                out_norm=is_official,
                norm_cfg=kwargs['norm_cfg'],
            )
        outer = (ClassTokenBlock if cls_only else TransformerBlock)(
            self.embed_dims,
            self.arch['num_heads_outer'],
            attn=TNTAttention,
            se=SqueezeExcitation(self.embed_dims) if with_se else None,
            **kwargs,
        )
        return TNTBlock(inner, to_sentence, outer)

    def _grid(self, height: int, width: int) -> Tuple[int, int]:
        """Rows and columns of the patches that cover an image."""
        # Positive integers only: the integer division of ONNX rounds towards zero.
        rest = self.patch_size - 1
        return (height + rest) // self.patch_size, (width + rest) // self.patch_size

    def init_weights(self) -> None:
        """Initialise the weights.

        ``init_cfg`` is followed; the class token and the position embeddings
        are drawn from a truncated normal with a standard deviation of 0.02.
        """
        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        for embed in (self.cls_token, self.sentence_pos_embed, self.word_pos_embed):
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
        batch, _, height, width = x.shape
        grid = self._grid(height, width)
        pad = (
            0,
            grid[1] * self.patch_size - width,
            0,
            grid[0] * self.patch_size - height,
        )
        # A graph for any size always pads, by zero pixels if there is nothing to do.
        if is_symbolic(*grid) or any(pad):
            x = F.pad(x, pad)
        words = self.word_embed(x)
        if self.word_pos_embed is not None:
            words = words + self.word_pos_embed
        sentences = torch.cat(
            [
                self.cls_token.expand(batch, -1, -1),
                self.sentence_embed(words, batch),
            ],
            dim=1,
        )
        if self.sentence_pos_embed is not None:
            sentences = sentences + resize_grid_tokens(
                self.sentence_pos_embed,
                self.patch_resolution,
                grid,
                self.NUM_EXTRA_TOKENS,
            )
        sentences = self.drop_after_pos(sentences)

        outs = []
        for i, layer in enumerate(self.layers):
            words, sentences = self._run(layer, words, sentences)
            if i == len(self.layers) - 1 and self.norm is not None:
                sentences = self.norm(sentences)
            if i in self.out_indices:
                outs.append(self._format_output(sentences, grid))
        return tuple(outs)

    def _format_output(
        self, tokens: torch.Tensor, grid: Tuple[int, int]
    ) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        sentences = tokens[:, self.NUM_EXTRA_TOKENS :]
        if self.out_type == 'avg_featmap':
            return sentences.mean(dim=1)
        # (B, N, d) -> (B, d, N) -> (B, d, H/p, W/p)
        return sentences.transpose(1, 2).unflatten(2, grid).contiguous()

    def _frozen_parts(self) -> List[Union[nn.Module, nn.Parameter]]:
        if self.frozen_stages < 0:
            return []
        parts = [
            self.word_embed,
            self.sentence_embed,
            self.cls_token,
            self.word_pos_embed,
            self.sentence_pos_embed,
            self.drop_after_pos,
            *self.layers[: self.frozen_stages],
        ]
        if self.frozen_stages == self.arch['num_layers']:
            parts.append(self.norm)
        return [part for part in parts if part is not None]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        self._check_checkpoint(
            state_dict,
            prefix,
            first=('sentence_embed.proj.weight',),
            is_resized=lambda name: name == 'sentence_pos_embed',
        )
        self._check_blocks(state_dict, prefix)
        if self.sentence_pos_embed is not None:
            resize_loaded_positions(
                state_dict,
                prefix + 'sentence_pos_embed',
                self.patch_resolution,
                self.NUM_EXTRA_TOKENS,
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_blocks(self, state_dict: dict, prefix: str) -> None:
        """Raise an error for a checkpoint whose blocks have other parts."""
        if is_sharded(self):
            return
        own = [prefix + name for name in self.state_dict()]
        for i in range(len(self.layers)):
            for part in ('outer', 'inner', 'outer.se'):
                start = f'{prefix}layers.{i}.{part}.'
                found = any(key.startswith(start) for key in state_dict)
                expected = any(key.startswith(start) for key in own)
                if found != expected:
                    raise ValueError(
                        'The checkpoint is of another architecture: it has '
                        f'{"a" if found else "no"} {part!r} in block {i}, '
                        f'expected {"one" if expected else "none"}. Check '
                        'num_layers, inner_blocks and with_se.'
                    )
