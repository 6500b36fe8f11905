"""A check that the initial weights are there before training starts."""

import os
from typing import Any, Iterator

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Stop at once, with directions, where a checkpoint file is missing.

    It looks at ``load_from`` and, in training, at each ``init_cfg`` and
    ``teacher_ckpt`` of the model; remote addresses pass. A run without initial
    weights is one whose config sets these to None, as in ``--cfg-options
    model.backbone.init_cfg=None``.

    Args:
        hint (str): Where the weights come from, and the call that makes the
            file.

    Raises:
        FileNotFoundError: If a file is missing, before the weights of the
            model are initialised.
    """

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def before_run(self, runner: Runner) -> None:
        """Look for the files."""
        paths = []
        # The loop is built by now if training starts, and a dict otherwise.
        if isinstance(runner._train_loop, BaseLoop):
            paths += _checkpoints(runner.cfg.get('model', {}))
        if not runner._resume:
            paths.append(runner._load_from)
        for path in paths:
            if path and '://' not in path and not os.path.isfile(path):
                raise FileNotFoundError(
                    f'The initial weights {path} are missing. {self.hint} '
                    'To train without initial weights, add --cfg-options '
                    'model.backbone.init_cfg=None; a teacher needs its own.'
                )


def _checkpoints(cfg: Any) -> Iterator[str]:
    """The checkpoint of each ``Pretrained`` initialisation and of a teacher in
    a config."""
    if isinstance(cfg, dict):
        if cfg.get('type') == 'Pretrained':
            yield cfg.get('checkpoint')
        yield cfg.get('teacher_ckpt')
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _checkpoints(value)
