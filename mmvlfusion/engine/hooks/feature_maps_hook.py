"""A check that backbone, neck and heads fit before training starts."""

from functools import partial
from typing import Any, Callable, Iterator, Sequence, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.hosts import MAP_HEAD_NAMES
from mmvlfusion.models.utils import unwrap_model
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class FeatureMapsHook(Hook):
    """Send a blank image through the backbone, and its maps to the rest.

    A neck or RPN fed with the wrong number of maps, or a decode head that
    asks for a map that is not there, so fails before data are loaded, with
    the shapes of the maps in the message. Models without a ``backbone``, and
    heads that choose their maps in ways of their own, pass.

    Args:
        img_size (int): Side of the blank image in pixels. Defaults to 128.

    Raises:
        ValueError: If neck or head cannot take the maps.
    """

    def __init__(self, img_size: int = 128) -> None:
        self.img_size = img_size

    @torch.no_grad()
    def before_train(self, runner: Runner) -> None:
        """Check the model of the runner."""
        model = unwrap_model(runner.model, deploy=True)
        if getattr(model, 'backbone', None) is None:
            return
        image = torch.zeros(
            1, 3, self.img_size, self.img_size, device=next(model.parameters()).device
        )
        training = model.training
        model.eval()
        maps, source = model.backbone(image), 'backbone'
        if getattr(model, 'neck', None) is not None:
            maps = self._pass('neck', model.neck, source, maps)
            source = 'neck'
        if getattr(model, 'rpn_head', None) is not None:
            self._pass('rpn_head', model.rpn_head, source, maps)
        for name, head in _decode_heads(model):
            self._pass(name, partial(_check_choice, head), source, maps)
        model.train(training)

    def _pass(
        self, name: str, part: Callable, source: str, maps: Sequence[torch.Tensor]
    ) -> Any:
        try:
            return part(maps)
        except Exception as error:
            shapes = [tuple(x.shape[1:]) for x in maps]
            raise ValueError(
                f'model.{name} cannot take what model.{source} returns for an '
                f'image of {self.img_size} pixels, {len(maps)} maps of the '
                f'shapes {shapes}: make out_indices, in_channels and in_index '
                f'agree. ({error})'
            ) from error


def _decode_heads(model: nn.Module) -> Iterator[Tuple[str, nn.Module]]:
    """mmseg's heads that choose maps by ``in_index``, by name."""
    for name in MAP_HEAD_NAMES:
        heads = getattr(model, name, None)
        heads = heads if isinstance(heads, nn.ModuleList) else [heads]
        for head in heads:
            if hasattr(head, '_transform_inputs'):
                yield name, head


def _check_choice(head: nn.Module, maps: Sequence[torch.Tensor]) -> None:
    chosen = head._transform_inputs(maps)
    if isinstance(chosen, torch.Tensor):
        channels, wanted = chosen.shape[1], head.in_channels
    else:
        channels, wanted = [x.shape[1] for x in chosen], list(head.in_channels)
    if channels != wanted:
        raise ValueError(
            f'in_channels={wanted}, but the maps at '
            f'in_index={head.in_index} have {channels}'
        )
