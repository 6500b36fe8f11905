"""A check that backbone, neck and head fit before training starts."""
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class FeatureMapsHook(Hook):
    """Send a blank image through backbone, neck and dense head.

    A neck fed with the wrong number of maps, or a head that asks for a map
    that is not there, so fails before data are loaded, with the shapes of the
    maps in the message.

    Args:
        img_size (int): Side of the blank image in pixels. Defaults to 128.

    Raises:
        ValueError: If neck or head cannot take the maps.
    """

    PARTS = ('neck', 'rpn_head', 'decode_head')

    def __init__(self, img_size: int = 128) -> None:
        self.img_size = img_size

    @torch.no_grad()
    def before_train(self, runner: Runner) -> None:
        """Check the model of the runner."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        device = next(model.parameters()).device
        training = model.training
        model.eval()
        source = 'backbone'
        maps = model.backbone(
            torch.zeros(1, 3, self.img_size, self.img_size, device=device))
        for name in self.PARTS:
            part = getattr(model, name, None)
            if part is None:
                continue
            try:
                outs = part(maps)
            except Exception as error:
                shapes = [tuple(x.shape[1:]) for x in maps]
                raise ValueError(
                    f'model.{name} cannot take what model.{source} returns '
                    f'for an image of {self.img_size} pixels, {len(maps)} '
                    f'maps of the shapes {shapes}: make out_indices, '
                    f'in_channels and in_index agree. ({error})') from error
            if name == 'neck':
                source, maps = name, outs
        model.train(training)
