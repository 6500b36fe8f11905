"""Registered builders of low-rank models."""

import copy
from contextlib import contextmanager
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    Optional,
    Union,
)

import torch.nn as nn
from mmengine.registry import MODELS as HOST_MODELS

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..utils import (
    is_pretrained,
    module_config,
    named_builder,
    with_mixin,
    without_builders,
)
from .joint import pack_ranks_
from .ranks import uniform_ranks
from .surgery import initialized_dense, low_rank_layer, replace_, select_layers


@MODELS.register_module('LowRank')
def build_low_rank(
    module: Union[str, type, dict],
    ratio: float = 2.0,
    exclude: Union[str, Iterable[str]] = (),
    min_features: int = 10,
    rank_multiple: int = 1,
    ranks: Optional[Dict[str, int]] = None,
    convolutions: bool = False,
    **kwargs,
) -> nn.Module:
    """Build a model with low-rank layers instead of its linear layers.

    The result is an instance of the host's class. Its weights are loaded as
    the host does: a dense checkpoint is factorised (``init_cfg``,
    ``load_from``, ...), a low-rank one is loaded unchanged. Without a
    checkpoint, ``init_weights`` initialises dense layers as the host does and
    factorises them. Frozen stages are frozen when the model is built.

    Args:
        module (str | type | dict): Type or config of any registered class, a
            backbone or a whole model.
        ratio, exclude, min_features, rank_multiple, convolutions: See
            ``mmvlfusion.models.low_rank.compress_``.
        ranks (dict[str, int], optional): Rank by name of the layer, instead of
            these five arguments; ``tools/compress.py`` writes it.
        **kwargs: Further arguments of the module. If ``module`` is a type, its
            whole config can be given here, so that two keys make a host's
            config low-rank, and the host finds its own keys where they were.

    Returns:
        nn.Module: The module.

    Raises:
        ImportError: If the host of the module is missing or not supported.
        ValueError: If ``module`` is not a class, the ratio is not above 1 or
            gives a layer rank 0, a pattern matches no layer, or no layer
            remains to compress.

    Examples:
        >>> backbone = dict(
        ...     type='mmvlfusion.LowRank', module='mmpretrain.SwinTransformer',
        ...     ratio=1.5, exclude='swin_without_proj', arch='base')
    """
    cfg = module_config(module, kwargs)
    if hasattr(cfg['type'], 'init_weights'):
        cfg['type'] = with_mixin(DenseInit, cfg['type'])
    built = HOST_MODELS.build(cfg)
    if isinstance(ranks, dict):
        pack_ranks_(built, ranks)
    if ranks is None:
        layers = select_layers(built, exclude, min_features, convolutions)
        ranks = uniform_ranks(layers, ratio, rank_multiple)
    replace_(
        built,
        ranks,
        lambda name, layer, rank: low_rank_layer(layer, rank, empty=True),
    )
    # Some hosts freeze stages in this call only. Distributed training reads which
    # parameters are frozen before the first call.
    built.train()
    return built


@MODELS.register_module('PELAVisionTransformer')
def build_pela_vision_transformer(
    host: str = 'mmpretrain',
    ratio: float = 2.0,
    exclude: Union[str, Iterable[str]] = 'vit',
    **kwargs,
) -> nn.Module:
    """Build a low-rank ViT, DeiT or DeiT-III of mmpretrain, or ViT of mmseg.

    Args:
        host (str): ``'mmpretrain'`` or ``'mmseg'``, whose classes differ.
            mmdet has none. Defaults to ``'mmpretrain'``.
        ratio, exclude: See ``build_low_rank``.
        **kwargs: Arguments of ``build_low_rank`` and of the host's class.

    Returns:
        nn.Module: The module.

    Raises:
        ValueError: If the host has no such class.
    """
    check_choice('host', host, ('mmpretrain', 'mmseg'))
    return build_low_rank(
        f'{host}.VisionTransformer', ratio=ratio, exclude=exclude, **kwargs
    )


@MODELS.register_module('PELASwinTransformer')
def build_pela_swin_transformer(
    host: str = 'mmpretrain',
    ratio: float = 2.0,
    exclude: Union[str, Iterable[str]] = 'swin',
    **kwargs,
) -> nn.Module:
    """Build a low-rank Swin of mmpretrain, mmdet or mmseg.

    The published ImageNet model has ``ratio=1.5`` and
    ``exclude='swin_without_proj'``; those of COCO and ADE20K have ``ratio=2``
    and compress the attention's projection too, which is the default.

    Args:
        host (str): ``'mmpretrain'``, ``'mmdet'`` or ``'mmseg'``, whose classes
            differ. Defaults to ``'mmpretrain'``.
        ratio, exclude: See ``build_low_rank``.
        **kwargs: Arguments of ``build_low_rank`` and of the host's class.

    Returns:
        nn.Module: The module.

    Raises:
        ValueError: If the host has no such class.
    """
    check_choice('host', host, ('mmpretrain', 'mmdet', 'mmseg'))
    return build_low_rank(
        f'{host}.SwinTransformer', ratio=ratio, exclude=exclude, **kwargs
    )


# The builders, and the class of the hosts that they build.
BUILDERS: Dict[Callable, Optional[str]] = {
    build_low_rank: None,
    build_pela_vision_transformer: 'VisionTransformer',
    build_pela_swin_transformer: 'SwinTransformer',
}


def check_dense_config(cfg: dict) -> None:
    """Check that the config of a module is not low-rank itself.

    Args:
        cfg (dict): The config.

    Raises:
        ValueError: If it is, since a second compression would lose the first.
    """
    if named_builder(cfg, BUILDERS) is not None:
        raise ValueError(
            f'The config has type={cfg["type"]!r}, which is low-rank already: make '
            'it dense first with tools/compress.py --merge.'
        )


def to_low_rank_config(cfg: dict, **options: Any) -> dict:
    """Rewrite the config of a module as that of its low-rank version.

    Args:
        cfg (dict): Config of the module.
        **options: Arguments of ``build_low_rank``.

    Returns:
        dict: The config.
    """
    cfg = copy.deepcopy(cfg)
    cfg.update(options, module=cfg['type'], type='mmvlfusion.LowRank')
    return cfg


def to_dense_config(cfg: dict) -> dict:
    """Rewrite the config of a model without the builders of this module.

    Args:
        cfg (dict): Config of a model, of which any part may be low-rank.

    Returns:
        dict: The config of the dense model.
    """
    return without_builders(cfg, BUILDERS, build_low_rank)


class DenseInit:
    """Mixin of low-rank models that initialises their weights as dense ones.

    ``init_weights`` of the host runs while dense layers replace the low-rank
    ones, and its result is factorised. Parts with a checkpoint load it
    afterwards, dense or low-rank.
    """

    def init_weights(self) -> None:
        """Initialise the weights as the host does, and factorise them."""
        if getattr(self, '_is_init', False) or is_pretrained(
            getattr(self, 'init_cfg', None)
        ):
            super().init_weights()  # type: ignore[misc]  # The host's.
            return
        parts = list(_pretrained_parts(self))
        configs = [part.init_cfg for part in parts]
        with _hidden_init_info(self):
            for part in parts:
                part.init_cfg = None
            with initialized_dense(self):
                super().init_weights()  # type: ignore[misc]
            for part, init_cfg in zip(parts, configs):
                part.init_cfg = init_cfg
                for child in part.modules():
                    if hasattr(child, '_is_init'):
                        child._is_init = False
                part.init_weights()


@contextmanager
def _hidden_init_info(module: nn.Module) -> Iterator[None]:
    """Hide mmengine's record of initialised parameters.

    A parent that is being initialised gives it to all its modules, and
    mmengine looks up every parameter in it; the temporary dense layers are not
    in it.
    """
    records = {
        child: child.__dict__.pop('_params_init_info')
        for child in module.modules()
        if '_params_init_info' in child.__dict__
    }
    try:
        yield
    finally:
        for child, record in records.items():
            child._params_init_info = record


def _pretrained_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts of a module that a checkpoint initialises."""
    for child in module.children():
        if is_pretrained(getattr(child, 'init_cfg', None)):
            yield child
        else:
            yield from _pretrained_parts(child)
