"""A check that the files of the initial weights exist before training starts."""

import os
import re
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmvlfusion.models.utils import check_checkpoint, is_pretrained
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Raise an error with instructions if a file of weights cannot be used.

    The hook checks ``load_from`` and, in training, each ``Pretrained``
    initialisation and each ``teacher_ckpt`` of the model. Addresses are not
    checked. To train without initial weights, set them to None, as in
    ``--cfg-options model.backbone.init_cfg=None``.

    Args:
        hint (str): Where the weights come from, and the command that makes the
            file.

    Raises:
        FileNotFoundError: If a file is missing, before the weights of the
            model are initialised.
        ValueError: If a file is incomplete or may run code.
    """

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def before_run(self, runner: Runner) -> None:
        """Look for the files.

        Args:
            runner (Runner): The runner.
        """
        files: List[Tuple[str, Optional[str]]] = []
        # The config does not show whether training or testing starts. When
        # training starts, the loop is built before this call. Otherwise it is
        # still a dict.
        if isinstance(runner._train_loop, BaseLoop):
            files += _checkpoints(runner.cfg.get('model', {}), 'model')
        if not runner.cfg.get('resume', False):
            files.append(('load_from', runner.cfg.get('load_from')))
        for key, path in files:
            if not path or '://' in path:
                continue
            if not os.path.isfile(path):
                raise FileNotFoundError(
                    f'The initial weights {path} are missing. {self.hint} '
                    f'{_advice(key)}'
                )
            check_checkpoint(path)


def _advice(key: str) -> str:
    """Say which option replaces the missing file at a key of the config."""
    if key.endswith('teacher_ckpt'):
        return (
            'The teacher needs trained weights: if the file is elsewhere, add '
            f'--cfg-options {key}=FILE.'
        )
    return f'To train without these weights, add --cfg-options {key}=None.'


def _checkpoints(cfg: Any, key: str) -> Iterator[Tuple[str, Optional[str]]]:
    """Iterate over the checkpoints in a config of a model, with their keys.

    The key of a ``Pretrained`` initialisation is that of its ``init_cfg``.
    """
    if isinstance(cfg, dict):
        if 'type' in cfg and is_pretrained(cfg):
            # If init_cfg is a list, the option must replace the whole list.
            yield re.sub(r'(\.\d+)+$', '', key), cfg.get('checkpoint')
        yield f'{key}.teacher_ckpt', cfg.get('teacher_ckpt')
        children = list(cfg.items())
    elif isinstance(cfg, (list, tuple)):
        children = list(enumerate(cfg))
    else:
        return
    for name, child in children:
        yield from _checkpoints(child, f'{key}.{name}')
