"""Building of models and data loaders from configs."""

import copy
from typing import Optional

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mmvlfusion.models.utils import check_checkpoint


def build_model(cfg: Config, checkpoint: Optional[str] = None) -> nn.Module:
    """Build the model of a config as the runner of its host builds it.

    The config's ``data_preprocessor`` is passed to the model.

    Args:
        cfg (Config): A config of any host.
        checkpoint (str, optional): File of the weights of the complete model.
            Defaults to None.

    Returns:
        nn.Module: The model, in training mode, on the CPU.

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
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    return model


def drop_idle_persistence(loader: dict) -> None:
    """Set persistent workers to False in a data loader without workers.

    PyTorch raises an error for this combination.

    Args:
        loader (dict): Config of the data loader, changed in place.
    """
    if not loader.get('num_workers'):
        loader['persistent_workers'] = False
