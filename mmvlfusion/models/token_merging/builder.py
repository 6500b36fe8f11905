"""Registered builder of models that merge tokens (ToMe, arXiv 2210.09461)."""

from typing import Any, List, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmengine.registry import MODELS as HOST_MODELS

from mmvlfusion.hosts import HEAD_NAMES, HOSTS
from mmvlfusion.registry import MODELS

from ..utils import module_config
from .blocks import BLOCKS, change_class_
from .merging import TokenMerging
from .schedule import Schedule, merge_schedule

# Heads of detectors and segmentors, which read maps.
_DENSE_HEADS = sorted(
    {name.split('.')[0] for name in HEAD_NAMES} - set(HOSTS['mmpretrain'].head_names)
)


@MODELS.register_module('ToMe')
def build_tome(
    module: Union[str, type, dict],
    r: Schedule,
    prop_attn: bool = True,
    trace: bool = False,
    **kwargs,
) -> nn.Module:
    """Build a ViT that merges similar tokens in each block.

    The result is an instance of the host's class, with the same parameters and
    names. It merges tokens in training and in testing.

    Args:
        module (str | type | dict): Type or config of any registered class, a
            backbone or a whole model, that has blocks of mmpretrain's or timm's
            ViT or DeiT.
        r (int | list[int] | tuple[int, float]): Tokens that a block merges; see
            ``merge_schedule``.
        prop_attn (bool): Whether the attention weighs a token by the number of
            tokens that it represents. It is on for supervised weights and for
            models that are trained with merging, and off for weights of masked
            autoencoders that are not trained further. Defaults to True.
        trace (bool): Whether ``token_sources`` can be called after a forward
            pass. Defaults to False.
        **kwargs: Further arguments of the module, see ``build_low_rank``.

    Returns:
        nn.Module: The module.

    Raises:
        ImportError: If the host of the module is missing or not supported.
        ValueError: If ``module`` is not a class or has other blocks, a map of the
            tokens is needed, or ``r`` leaves no token.

    Examples:
        >>> backbone = dict(
        ...     type='mmvlfusion.ToMe', module='mmpretrain.VisionTransformer',
        ...     r=13, arch='deit-small')
    """
    model = HOST_MODELS.build(module_config(module, kwargs))
    merge_tokens_(model, r, prop_attn, trace)
    return model


def merge_tokens_(
    model: nn.Module, r: Schedule, prop_attn: bool = True, trace: bool = False
) -> None:
    """Make a model merge similar tokens, in place.

    Args:
        model (nn.Module): The model, which may be low-rank.
        r, prop_attn, trace: See ``build_tome``.

    Raises:
        ValueError: See ``build_tome``.
    """
    name = type(model).__name__
    for head in _DENSE_HEADS:
        if getattr(model, head, None) is not None:
            raise ValueError(
                f'ToMe cannot be used in {name}: its {head} reads a map of the image, '
                'but merged tokens have no places. Compress it with '
                'mmvlfusion.LowRank instead.'
            )
    encoder, blocks = _find_blocks(model)
    if getattr(encoder, 'out_type', None) == 'featmap':
        raise ValueError(
            f"{type(encoder).__name__} has out_type='featmap', a map of the image, "
            "but merged tokens have no places: set out_type to 'cls_token', "
            "'avg_featmap' or 'raw'."
        )
    if any(isinstance(block, BLOCKS) for block in blocks):
        raise ValueError(f'The tokens of {name} are merged already: use ToMe once.')
    numbers = merge_schedule(r, len(blocks), _num_patches(encoder))
    merging = TokenMerging(numbers, _num_prefix_tokens(encoder), prop_attn, trace)
    for index, block in enumerate(blocks):
        change_class_(block, next(mixin for mixin in BLOCKS if mixin.accepts(block)))
        block.use(merging, index)
    if getattr(encoder, 'out_type', None) == 'avg_featmap':
        change_class_(encoder, MergedAverage)


def token_sources(model: nn.Module) -> torch.Tensor:
    """Find which tokens of the image the tokens of the last forward pass represent.

    Args:
        model (nn.Module): A model that is built with ``trace=True``.

    Returns:
        torch.Tensor: Shape (B, N, tokens before the first block), 1 where the
        token of the output contains the one of the input, otherwise 0. Class and
        distillation token are counted.

    Raises:
        ValueError: If nothing is traced.
    """
    for block in model.modules():
        if isinstance(block, BLOCKS) and block.merging.sources is not None:
            return block.merging.sources
    raise ValueError(
        f'{type(model).__name__} has no traced tokens: build it by mmvlfusion.ToMe '
        'with trace=True and an r above 0, and run it.'
    )


class MergedAverage:
    """Mixin of mmpretrain's ViT that averages tokens by their sizes."""

    out_type: str
    num_extra_tokens: int
    layers: Any
    ln2: nn.Module

    def _format_output(self, x: torch.Tensor, hw: Tuple[int, int]) -> torch.Tensor:
        sizes: Optional[torch.Tensor] = self.layers[0].merging.sizes
        if sizes is None:
            return super()._format_output(x, hw)  # type: ignore[misc]
        sizes = sizes[:, self.num_extra_tokens :]
        patches = x[:, self.num_extra_tokens :]
        mean = (patches * sizes).sum(dim=1) / sizes.sum(dim=1)
        return self.ln2(mean.to(x.dtype))


def _find_blocks(model: nn.Module) -> Tuple[Any, List[Any]]:
    """The encoder of a model and its blocks."""
    for encoder in model.modules():
        for blocks in encoder.children():
            modules = list(blocks.children())
            if modules and all(_accepts(module) for module in modules):
                return encoder, modules
    raise ValueError(
        f'ToMe cannot merge the tokens of {type(model).__name__}: it has no blocks '
        "of mmpretrain's VisionTransformer or of timm's. Tokens that are words of a "
        'sentence (TNT), or lie in windows or scans, cannot be merged.'
    )


def _accepts(module: nn.Module) -> bool:
    return any(mixin.accepts(module) for mixin in BLOCKS)


def _num_patches(encoder: Any) -> int:
    """Number of image tokens before the first block."""
    embed = encoder.patch_embed
    if hasattr(embed, 'init_out_size'):
        height, width = embed.init_out_size
        return height * width
    return embed.num_patches


def _num_prefix_tokens(encoder: Any) -> int:
    """Number of class and distillation tokens."""
    found = getattr(encoder, 'num_extra_tokens', None)
    if found is None:
        found = getattr(encoder, 'num_prefix_tokens', None)
    if found is None:  # Early releases of timm.
        found = int(encoder.cls_token is not None)
        found += getattr(encoder, 'dist_token', None) is not None
    has_distillation = getattr(encoder, 'dist_token', None) is not None
    if found != int(encoder.cls_token is not None) + has_distillation:
        raise ValueError(
            f'{type(encoder).__name__} has {found} tokens before those of the image. '
            'ToMe knows a class token and a distillation token: build the model '
            'without register tokens.'
        )
    return found
