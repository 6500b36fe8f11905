"""Loading of published models: folders of ``tools/publish.py``, or the hub."""

import os.path as osp
import re
from typing import Optional

from mmengine.logging import print_log

from mmvlfusion.utils.checks import require

from .inference import Predictor

CONFIG = 'config.py'
WEIGHTS = 'model.safetensors'
TOKENIZER = 'tokenizer'
CARD = 'README.md'
# What is downloaded from the hub.
FILES = [CONFIG, WEIGHTS, f'{TOKENIZER}/*', CARD]
HUB_NAME = re.compile(r'[\w-]+[\w.-]*(/[\w.-]+)?')


def from_pretrained(
    name: str,
    task: Optional[str] = None,
    device: Optional[str] = None,
    revision: Optional[str] = None,
) -> Predictor:
    """Load a published model.

    The weights are plain tensors. The only code of the folder that is run is its
    ``config.py``, which is Python: load only folders that you trust, or read the
    config first.

    Args:
        name (str): A folder that ``tools/publish.py`` wrote, or the name of one on
            the hub, such as ``'owner/model'``.
        task (str, optional): The task, one of ``classification``, ``detection``,
            ``segmentation``, ``vqa``, ``caption``, ``grounding`` and
            ``retrieval``. Models for another task are refused. Defaults to None,
            the task of the model.
        device (str, optional): Device of the model. Defaults to None, a GPU if
            there is one.
        revision (str, optional): Branch, tag or commit on the hub. Defaults to
            None, the main branch.

    Returns:
        Predictor: The predictor; its ``model`` is the ``nn.Module``, which the
        inferencers of its host accept as well.

    Raises:
        FileNotFoundError: If the folder or one of its files does not exist.
        ImportError: If the name is one of the hub and huggingface_hub is not
            installed.
        ValueError: If the weights are incomplete or do not fit the config, or the
            task is another.
    """
    folder = name if osp.isdir(name) else _download(name, revision)
    config, weights = osp.join(folder, CONFIG), osp.join(folder, WEIGHTS)
    for path in (config, weights):
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'{name} has no {osp.basename(path)}: expected a folder that '
                'tools/publish.py wrote.'
            )
    print_log(
        f'{config} is read by running it as Python; no other code of {name} is run.'
    )
    return Predictor.from_files(config, weights, task, device)


def _download(name: str, revision: Optional[str]) -> str:
    """Download a model from the hub; returns the local folder."""
    if not HUB_NAME.fullmatch(name):
        raise FileNotFoundError(
            f'The folder {name!r} does not exist, and it is not a name on the hub, '
            "such as 'owner/model': give a folder that tools/publish.py wrote."
        )
    hub = require('huggingface_hub')
    try:
        return hub.snapshot_download(name, revision=revision, allow_patterns=FILES)
    except Exception as error:
        raise FileNotFoundError(
            f'There is no folder {name!r}, and it could not be downloaded from the '
            f'hub ({error}): check the name, the revision and the network.'
        ) from error
