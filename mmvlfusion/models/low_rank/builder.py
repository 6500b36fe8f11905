"""Registered builders of low-rank models."""
import types
from functools import partial
from typing import Dict, Iterable, Iterator, Optional, Union

import torch.nn as nn
from mmengine.registry import MODELS as HOST_MODELS

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checkpoint import is_pretrained

from .compression import (chosen_layers, dense_stand_ins, replace_,
                          uniform_ranks)
from .linear import LowRankLinear


@MODELS.register_module()
def LowRank(module: Union[str, dict],
            ratio: float = 2.,
            exclude: Union[str, Iterable[str]] = (),
            min_features: int = 10,
            rank_multiple: int = 1,
            ranks: Optional[Dict[str, int]] = None,
            **kwargs) -> nn.Module:
    """Build a module with low-rank layers in the place of its linear ones.

    It returns the module itself, of the class that its host knows. Weights
    come as the host loads them: a checkpoint of the dense module is factorised
    (``init_cfg``, ``load_from``, ...), a low-rank one loads as it is. Without
    a checkpoint, ``init_weights`` initialises as the host does and factorises
    that.

    Args:
        module (str | dict): Type or config of any registered module, a
            backbone or a whole model.
        ratio, exclude, min_features, rank_multiple: See
            ``mmvlfusion.models.low_rank.compress_``.
        ranks (dict[str, int], optional): Rank by name of the layer, in the
            place of those four; ``tools/compress.py`` writes it.
        **kwargs: Further arguments of the module. With a type as ``module``,
            all of its config can stand here, so a config of the host becomes
            low-rank by two keys, and the host finds its own where they were.

    Returns:
        nn.Module: The module.

    Raises:
        ValueError: If the ratio saves nothing or leaves a layer no rank, a
            pattern matches no layer, or nothing is left to compress.

    Examples:
        >>> backbone = dict(
        ...     type='mmvlfusion.LowRank', module='mmpretrain.SwinTransformer',
        ...     ratio=1.5, exclude='swin_without_proj', arch='base')
    """
    cfg = dict(type=module) if isinstance(module, str) else dict(module)
    built = HOST_MODELS.build({**cfg, **kwargs})
    if ranks is None:
        layers = chosen_layers(built, exclude, min_features)
        ranks = uniform_ranks(layers, ratio, rank_multiple)
    replace_(
        built, ranks, lambda name, linear, rank: LowRankLinear.from_linear(
            linear, rank, empty=True))
    if hasattr(built, 'init_weights'):
        built.init_weights = partial(_init_weights, built)
    return built


@MODELS.register_module()
def PELAVisionTransformer(host: str = 'mmpretrain',
                          ratio: float = 2.,
                          exclude: Union[str, Iterable[str]] = 'vit',
                          **kwargs) -> nn.Module:
    """A low-rank ViT, DeiT or DeiT-III of mmpretrain, or ViT of mmseg.

    Args:
        host (str): ``'mmpretrain'`` or ``'mmseg'``, whose classes differ.
            mmdet has none. Defaults to ``'mmpretrain'``.
        ratio, exclude: See ``LowRank``.
        **kwargs: Arguments of ``LowRank`` and of the host's class.

    Raises:
        ValueError: If the host has no such class.
    """
    return _shorthand('VisionTransformer', ('mmpretrain', 'mmseg'), host,
                      ratio=ratio, exclude=exclude, **kwargs)


@MODELS.register_module()
def PELASwinTransformer(host: str = 'mmpretrain',
                        ratio: float = 2.,
                        exclude: Union[str, Iterable[str]] = 'swin',
                        **kwargs) -> nn.Module:
    """A low-rank Swin of mmpretrain, mmdet or mmseg.

    The published ImageNet model has ``ratio=1.5`` and
    ``exclude='swin_without_proj'``; those of COCO and ADE20K have ``ratio=2``
    and compress the attention's projection too, as is the default.

    Args:
        host (str): ``'mmpretrain'``, ``'mmdet'`` or ``'mmseg'``, whose classes
            differ. Defaults to ``'mmpretrain'``.
        ratio, exclude: See ``LowRank``.
        **kwargs: Arguments of ``LowRank`` and of the host's class.

    Raises:
        ValueError: If the host has no such class.
    """
    return _shorthand('SwinTransformer', ('mmpretrain', 'mmdet', 'mmseg'),
                      host, ratio=ratio, exclude=exclude, **kwargs)


def _shorthand(name: str, hosts: Iterable[str], host: str,
               **kwargs) -> nn.Module:
    if host not in hosts:
        raise ValueError(f'host={host!r} has no {name}: choose one of '
                         f'{list(hosts)}.')
    return LowRank(f'{host}.{name}', **kwargs)


def _init_weights(module: nn.Module) -> None:
    """Initialise as the host does, without harm to the factors.

    What has no checkpoint is initialised dense and then factorised; parts that
    have one load it afterwards, dense or low-rank.
    """
    # mmengine keeps count of the parameters that it has initialised; the
    # stand-ins are none of those of a parent.
    counts = {
        child: child.__dict__.pop('_params_init_info')
        for child in module.modules() if '_params_init_info' in child.__dict__
    }
    host_init = types.MethodType(type(module).init_weights, module)
    if is_pretrained(getattr(module, 'init_cfg', None)):
        host_init()
    else:
        loaded = list(_pretrained_parts(module))
        configs = [part.init_cfg for part in loaded]
        for part in loaded:
            part.init_cfg = None
        with dense_stand_ins(module):
            host_init()
        for part, init_cfg in zip(loaded, configs):
            part.init_cfg = init_cfg
            for child in part.modules():
                if hasattr(child, '_is_init'):
                    child._is_init = False
            part.init_weights()
    for child, count in counts.items():
        child._params_init_info = count


def _pretrained_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts of a module that a checkpoint initialises."""
    for child in module.children():
        if is_pretrained(getattr(child, 'init_cfg', None)):
            yield child
        else:
            yield from _pretrained_parts(child)
