"""Checkpoints: whether a config names one, safe reading, and writing."""

import os
import re
from collections import Counter, OrderedDict
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit
from torch.serialization import safe_globals

from mmvlfusion.utils.atomic import atomic_write

# Keys under which training scripts store the weights.
WEIGHT_KEYS = ('state_dict', 'model', 'module')
# Classes of plain data in checkpoints, by their name there, and what is read instead:
# settings of the library yacs, which the training scripts that follow Swin's save.
PLAIN_CLASSES = [(OrderedDict, 'yacs.config.CfgNode')]


def is_pretrained(init_cfg: Union[dict, List[dict], None]) -> bool:
    """Check whether an ``init_cfg`` loads a checkpoint.

    Args:
        init_cfg (dict | list[dict] | None): Initialisation config.

    Returns:
        bool: True if one of its types is ``Pretrained``, as a string or as a
        class.
    """
    if isinstance(init_cfg, (list, tuple)):
        return any(map(is_pretrained, init_cfg))
    if not init_cfg:
        return False
    kind = init_cfg['type']
    if isinstance(kind, str):
        return kind.rpartition('.')[2] in ('Pretrained', 'PretrainedInit')
    return kind is PretrainedInit


def rename(name: str, rules: Iterable[Tuple[str, str]], model: str) -> str:
    """Rename a weight by the first rule that matches.

    Args:
        name (str): The name.
        rules (Iterable[tuple[str, str]]): Regular expressions, anchored at the
            start, and the replacement of their match.
        model (str): Name of the model, for the error.

    Returns:
        str: The new name.

    Raises:
        ValueError: If no rule matches.
    """
    for pattern, new in rules:
        renamed, found = re.subn(pattern, new, name)
        if found:
            return renamed
    raise ValueError(
        f'Unexpected key {name!r} in a checkpoint of {model}: convert a file '
        f'that only holds weights of {model}.'
    )


def save(content: Any, path: str) -> None:
    """Write a checkpoint; its folder is created.

    Args:
        content (Any): The checkpoint.
        path (str): The file.
    """
    with atomic_write(path) as temporary:
        torch.save(content, temporary)


def save_converted(
    weights: Dict[str, torch.Tensor],
    dropped: Iterable[str],
    path: str,
    key: Optional[str] = 'state_dict',
) -> None:
    """Write converted weights, and report what was converted and dropped.

    Args:
        weights (dict[str, torch.Tensor]): The weights.
        dropped (Iterable[str]): Names of the weights that were not converted.
        path (str): The file.
        key (str, optional): Key of the weights in the file, or None for the
            top level. Defaults to ``'state_dict'``.
    """
    dropped = list(dropped)
    save(weights if key is None else {key: weights}, path)
    print_log(f'{path}: {len(weights)} weights converted, {len(dropped)} dropped.')
    kinds = Counter(re.sub(r'\.\d+\..*', '.*', name) for name in dropped)
    for kind, number in sorted(kinds.items()):
        print_log(f'  dropped: {number} x {kind}')


def load_state_dict(
    path: str, first_keys: Sequence[str] = ()
) -> Dict[str, torch.Tensor]:
    """Read the weights of a checkpoint, safely.

    Args:
        path (str): A file of ``torch.save`` or of safetensors, with the
            weights at the top level or under one of ``WEIGHT_KEYS``.
        first_keys (Sequence[str]): Keys that come before ``WEIGHT_KEYS``, such
            as the key of EMA weights. Defaults to ().

    Returns:
        dict[str, torch.Tensor]: The weights on the CPU, without the prefix
        ``module.``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it holds objects other than tensors and plain data, as
            training checkpoints of mmengine do, or no weights.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'The checkpoint {path!r} does not exist.')
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file

        content = load_file(path)
    else:
        try:
            with safe_globals(PLAIN_CLASSES):
                content = torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:
            raise ValueError(
                f'{path} cannot be read safely as a checkpoint: {error}\n'
                'A training checkpoint of mmengine holds logs as Python '
                'objects. If you trust it, save only its weights first: '
                'torch.save(dict(state_dict=torch.load(SRC, weights_only=False)'
                "['state_dict']), DST)."
            ) from error
    for key in (*first_keys, *WEIGHT_KEYS):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__} instead of a dict of weights.'
        )
    weights = {
        key.removeprefix('module.'): value
        for key, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    if not weights:
        raise ValueError(f'{path} holds no weights.')
    return weights
