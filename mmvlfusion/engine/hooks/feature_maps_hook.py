"""A check of the feature maps between backbone, neck and heads."""

import traceback
from functools import partial
from typing import Any, Callable, Iterator, Sequence, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.hosts import MAP_HEAD_NAMES, image_channels, input_shape
from mmvlfusion.models.utils import unwrap_model
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class FeatureMapsHook(Hook):
    """Check before training that neck and heads accept the backbone's maps.

    A blank image is sent through the backbone, and its feature maps through
    the neck and the heads. If a neck or an RPN gets the wrong number of maps,
    or a decode head selects a map that does not exist, this raises an error
    with the shapes of the maps before data are loaded. Models without a
    ``backbone`` are not checked, and neither are heads without mmseg's
    selection of maps. If the blank image is not accepted, one of the input size
    of the config is tried. If the backbone accepts neither, the model is not
    checked.

    Args:
        img_size (int): Side of the blank image in pixels. Defaults to 128.

    Raises:
        ValueError: If the neck or a head does not accept the maps.
    """

    def __init__(self, img_size: int = 128) -> None:
        self.img_size = img_size

    @torch.no_grad()
    def before_train(self, runner: Runner) -> None:
        """Check the model of the runner.

        Args:
            runner (Runner): The runner.
        """
        model = unwrap_model(runner.model, deploy=True)
        if getattr(model, 'backbone', None) is None:
            return
        device = next(model.parameters()).device
        channels = image_channels(runner.cfg.get('model', {}))
        training = model.training
        model.eval()
        shapes = [(self.img_size, self.img_size), input_shape(runner.cfg)]
        errors = []
        for shape in filter(None, shapes):
            image = torch.zeros(1, channels, *shape, device=device)
            try:
                maps = model.backbone(image)
            # A backbone may need other images, such as larger ones.
            except Exception:
                continue
            try:
                self._check(model, maps, shape)
            except ValueError as error:
                errors.append(error)
            else:
                errors.clear()
                break
        model.train(training)
        if errors:
            raise errors[0]

    def _check(
        self, model: nn.Module, maps: Sequence[torch.Tensor], shape: Sequence[int]
    ) -> None:
        """Send the maps of an image through the neck and the heads."""
        source = 'backbone'
        if getattr(model, 'neck', None) is not None:
            maps = self._pass('neck', model.neck, source, maps, shape)
            source = 'neck'
        if getattr(model, 'rpn_head', None) is not None:
            self._pass('rpn_head', model.rpn_head, source, maps, shape)
        for name, head in _decode_heads(model):
            self._pass(name, partial(_check_selection, head), source, maps, shape)

    def _pass(
        self,
        name: str,
        part: Callable,
        source: str,
        maps: Sequence[torch.Tensor],
        shape: Sequence[int],
    ) -> Any:
        """Send maps through a part of the model; explain its error."""
        try:
            return part(maps)
        except Exception as error:
            shapes = [tuple(x.shape[1:]) for x in maps]
            raise ValueError(
                f'model.{name} does not accept the output of model.{source} for '
                f'an image of {shape[0]} x {shape[1]} pixels, {len(maps)} maps of the '
                f'shapes {shapes}: make out_indices, in_channels and in_index '
                f'agree. ({_reason(error)})'
            ) from error


def _reason(error: Exception) -> str:
    """The message of an error, or the line that raises it if it has none."""
    line = traceback.extract_tb(error.__traceback__)[-1].line
    return f'{type(error).__name__}: {str(error) or line}'


def _decode_heads(model: nn.Module) -> Iterator[Tuple[str, nn.Module]]:
    """Iterate over mmseg's heads that select maps by ``in_index``."""
    for name in MAP_HEAD_NAMES:
        heads = getattr(model, name, None)
        heads = heads if isinstance(heads, nn.ModuleList) else [heads]
        for head in heads:
            if hasattr(head, '_transform_inputs'):
                yield name, head


def _check_selection(head: nn.Module, maps: Sequence[torch.Tensor]) -> None:
    """Compare the channels of the maps that a head selects with its own."""
    selected = head._transform_inputs(maps)
    if isinstance(selected, torch.Tensor):
        channels = selected.shape[1]
        expected = head.in_channels
    else:
        channels = [x.shape[1] for x in selected]
        expected = list(head.in_channels)
    if channels != expected:
        raise ValueError(
            f'in_channels={expected}, but the maps at '
            f'in_index={head.in_index} have {channels}'
        )
