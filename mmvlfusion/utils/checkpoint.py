"""Checkpoints: whether one is asked for, writing, and safe reading."""
import os
import re
from typing import Any, Dict, Iterable, List, Tuple, Union

import torch


def is_pretrained(init_cfg: Union[dict, List[dict], None]) -> bool:
    """Whether an ``init_cfg`` takes the weights from a checkpoint."""
    if isinstance(init_cfg, (list, tuple)):
        return any(map(is_pretrained, init_cfg))
    return bool(init_cfg) and init_cfg['type'] == 'Pretrained'


def rename(name: str, rules: Iterable[Tuple[str, str]], model: str) -> str:
    """Translate the name of a weight by the first rule that fits.

    Args:
        name (str): The name.
        rules (Iterable[tuple[str, str]]): Regular expressions, anchored at the
            start, and what takes the place of their match.
        model (str): What the weights are of, for the error.

    Raises:
        ValueError: If no rule fits.
    """
    for pattern, new in rules:
        renamed, found = re.subn(pattern, new, name)
        if found:
            return renamed
    raise ValueError(f'{name!r} is no weight of a {model}.')


def save(content: Any, path: str) -> None:
    """Write a checkpoint, into a folder that need not be there yet."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    torch.save(content, path)


def load_state_dict(path: str) -> Dict[str, torch.Tensor]:
    """Read the weights of a checkpoint, safely.

    Args:
        path (str): A file of ``torch.save`` or of safetensors. The weights
            may lie in it under ``state_dict``, ``model`` or ``module``.

    Returns:
        dict[str, torch.Tensor]: The weights on the CPU; a leading ``module.``
        is taken off their names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds other objects than tensors and plain data, as
            the training checkpoints of mmengine do, or no weights at all.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'There is no checkpoint {path!r}.')
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file
        content = load_file(path)
    else:
        try:
            content = torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:
            raise ValueError(
                f'{path} is no checkpoint that can be read safely: {error}\n'
                'A training checkpoint of mmengine holds logs as Python '
                'objects. If you trust it, save its weights alone first: '
                "torch.save(dict(state_dict=torch.load(SRC, weights_only=False)"
                "['state_dict']), DST).") from error
    for key in ('state_dict', 'model', 'module'):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__} instead of '
                         'a dict of weights.')
    weights = {
        key.removeprefix('module.'): value
        for key, value in content.items() if isinstance(value, torch.Tensor)
    }
    if not weights:
        raise ValueError(f'{path} holds no weights.')
    return weights
