"""Building of models and data loaders from configs."""

import copy
from typing import Optional

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mmvlfusion.models.utils import check_checkpoint, is_pretrained


def build_model(cfg: Config, checkpoint: Optional[str] = None) -> nn.Module:
    """Build the model of a config as the runner of its host builds it.

    The config's ``data_preprocessor`` is passed to the model.

    Args:
        cfg (Config): A config of any host.
        checkpoint (str, optional): File of the weights of the complete model.
            Defaults to None.

    Returns:
        nn.Module: The model, in training mode, on the CPU. With a checkpoint it
        has the ``dataset_meta`` that is stored there, such as the classes, or
        an empty dict.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If it is incomplete or may run code.
    """
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    # Modules of some hosts change their config while they are built.
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    model = MODELS.build(model)
    if checkpoint is not None:
        loaded = load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
        model.dataset_meta = dataset_meta_of(loaded)
    return model


def dataset_meta_of(checkpoint: dict) -> dict:
    """Get the facts of the training data that a checkpoint stores.

    Args:
        checkpoint (dict): The content of the file.

    Returns:
        dict: ``classes``, ``palette`` and others, with lower-case keys; empty if
        there are none.
    """
    found = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    return {key.lower(): value for key, value in found.items()}


def drop_initial_weights(cfg: ConfigDict) -> None:
    """Remove the ``init_cfg`` that load checkpoints, in place.

    Args:
        cfg (ConfigDict): The model config.
    """
    if is_pretrained(cfg.get('init_cfg')):
        cfg.init_cfg = None
    for value in cfg.values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, dict):
                drop_initial_weights(part)


def drop_idle_persistence(loader: dict) -> None:
    """Set persistent workers to False in a data loader without workers.

    PyTorch raises an error for this combination.

    Args:
        loader (dict): Config of the data loader, changed in place.
    """
    if not loader.get('num_workers'):
        loader['persistent_workers'] = False
