"""Checkpoints: whether a config names one, safe reading, and writing."""

import json
import os
import pickle
import re
from collections import Counter, OrderedDict
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader
from torch.serialization import safe_globals

from mmvlfusion.utils.atomic import atomic_write
from mmvlfusion.utils.checks import require
from mmvlfusion.utils.pickles import pickled_names

# Classes and functions in checkpoints of PyTorch, mmengine and the authors' code.
# None of them runs code of the file.
_HARMLESS = re.compile(
    r'torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2'
    r'|torch\.(\w+Storage|Size|device|dtype|Tensor|nn\.parameter\.Parameter)'
    r'|torch\.storage\.\w+Storage|torch\.(b?float\d*|u?int\d+|bool)'
    r'|numpy\.(ndarray|dtype)|numpy\.dtypes\.\w+'
    r'|numpy\.(core|_core)\.(multiarray|numeric)\.(_reconstruct|_frombuffer|scalar)'
    r'|collections\.(OrderedDict|defaultdict|deque|Counter)|_codecs\.encode'
    r'|builtins\.(set|frozenset|slice|complex|bytearray|list|dict|tuple|int|float|str)'
    r'|argparse\.Namespace|pathlib\.\w+|datetime\.\w+|copyreg\._reconstructor'
    r'|builtins\.object|mmengine\.logging\.history_buffer\.HistoryBuffer'
    r'|mmengine\.config\.config\.ConfigDict'
    r"|getattr\(\.\.\., '(max|mean|min|current)'\)"
)
# Keys under which training scripts store the weights.
WEIGHT_KEYS = ('state_dict', 'model', 'module')
# Classes of plain data in checkpoints and what is read instead, by their names:
# settings of the library yacs, which the training scripts that follow Swin's save.
PLAIN_CLASSES = {'yacs.config.CfgNode': OrderedDict}
# Names in PELA's low-rank layers, and those in ``LowRankLinear``.
FACTORS = {'0.weight': 'down', '1.weight': 'up', '1.bias': 'bias'}
# Entry of the header of a safetensors file with the classes, as json.
DATASET_META = 'dataset_meta'


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


def rename_factors(name: str) -> str:
    """Rename a weight of a low-rank linear layer of PELA's released code.

    There, the layer is an ``nn.Sequential`` of two linear layers.

    Args:
        name (str): The name, such as ``blocks.0.attn.qkv.0.weight``.

    Returns:
        str: The name in ``LowRankLinear``, such as ``blocks.0.attn.qkv.down``.
        Other names are unchanged.
    """
    match = re.fullmatch(r'(.*\.(?:attn|mlp)\.(?:qkv|proj|fc[12]))\.([01]\.\w+)', name)
    if match and match[2] in FACTORS:
        return f'{match[1]}.{FACTORS[match[2]]}'
    return name


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


def save_safetensors(model: torch.nn.Module, path: str, dataset_meta: dict) -> None:
    """Write the weights of a model as plain tensors; its folder is created.

    Of weights that share memory, such as tied embeddings, one is written. The
    header of the file names the others.

    Args:
        model (nn.Module): The model.
        path (str): The file.
        dataset_meta (dict): Classes, palette and other facts of the data set.
    """
    header = {'format': 'pt', DATASET_META: json.dumps(dataset_meta)}
    with atomic_write(path) as temporary:
        require('safetensors.torch').save_model(model, temporary, header)


# mmengine matches these as regular expressions; addresses have their own loaders.
@CheckpointLoader.register_scheme(r'(?!\w+:).*\.safetensors$', force=True)
def load_from_safetensors(
    filename: str, map_location: Union[str, torch.device, None] = None
) -> Dict[str, dict]:
    """Load a safetensors file for mmengine, so that every host reads them.

    Args:
        filename (str): The file.
        map_location (str | torch.device, optional): Device of the weights.
            Defaults to None, the CPU.

    Returns:
        dict[str, dict]: ``state_dict``, with all names of shared weights, and
        ``meta`` with the ``dataset_meta`` if the file has it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is incomplete.
    """
    check_checkpoint(filename)
    with require('safetensors').safe_open(
        filename, 'pt', device=str(map_location or 'cpu')
    ) as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = dict(file.metadata() or {})
    meta = {}
    if DATASET_META in header:
        meta[DATASET_META] = _with_tuples(json.loads(header.pop(DATASET_META)))
    for name, kept in header.items():
        if kept in weights:
            weights.setdefault(name, weights[kept])
    return dict(state_dict=weights, meta=meta)


def _with_tuples(dataset_meta: dict) -> dict:
    """Restore the colours of a palette, which json writes as lists."""
    return {
        key: [tuple(x) if isinstance(x, list) else x for x in value]
        if isinstance(value, list)
        else value
        for key, value in dataset_meta.items()
    }


def check_checkpoint(path: str, replaced: Iterable[str] = ()) -> None:
    """Check that a file is a complete checkpoint that runs no code.

    Nothing of the file is run.

    Args:
        path (str): A file of ``torch.save`` or of safetensors. Addresses such
            as ``'https://...'`` are not checked.
        replaced (Iterable[str]): Names of classes that are not used, because
            the caller reads others instead. Defaults to ().

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a checkpoint, is incomplete, or would call
            functions when it is loaded.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise FileNotFoundError(f'The checkpoint {path!r} does not exist.')
    if path.endswith('.safetensors'):
        try:
            with require('safetensors').safe_open(path, 'pt'):
                return
        except Exception as error:
            raise ValueError(
                f'{path} is not a complete file of safetensors ({error}): copy it '
                'again.'
            ) from error
    try:
        names = pickled_names(path)
    except ValueError as error:
        raise ValueError(f'{error}. Copy or download it again.') from error
    names -= set(replaced)
    unknown = sorted(name for name in names if not _HARMLESS.fullmatch(name))
    if unknown:
        raise ValueError(
            f'Loading {path} would use {unknown}, which may run code. If you trust '
            'the file, save only its weights: torch.save(dict(state_dict='
            "torch.load(SRC, weights_only=False)['state_dict']), DST)."
        )


def read_checkpoint(path: str) -> Any:
    """Read the content of a checkpoint, safely.

    Args:
        path (str): A file of ``torch.save`` or of safetensors.

    Returns:
        Any: The content on the CPU; see ``load_from_safetensors``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If ``check_checkpoint`` refuses it.
    """
    check_checkpoint(path, replaced=PLAIN_CLASSES)
    if path.endswith('.safetensors'):
        return load_from_safetensors(path)
    try:
        return _load(path)
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read as a checkpoint: {error}. Copy or download it '
            'again.'
        ) from error


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
        ValueError: If ``check_checkpoint`` refuses it, or if it holds no
            weights.
    """
    content = read_checkpoint(path)
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


def _load(path: str) -> Any:
    """Load a file that ``check_checkpoint`` accepts."""
    try:
        with safe_globals([(cls, name) for name, cls in PLAIN_CLASSES.items()]):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        # Logs of mmengine are objects, which are harmless.
        return torch.load(path, map_location='cpu', weights_only=False)
