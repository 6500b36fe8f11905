"""Checks of the settings of a config and of ``--cfg-options``."""

import difflib
import logging
import os.path as osp
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.logging import print_log

# Keys that mmengine's runner, the hosts' scripts or ours read from a config.
KNOWN_KEYS = {
    'activation_checkpointing',
    'auto_scale_lr',
    'compile',
    'custom_hooks',
    'custom_imports',
    'data_preprocessor',
    'default_hooks',
    'default_scope',
    'env_cfg',
    'experiment_name',
    'find_unused_parameters',
    'launcher',
    'load_from',
    'log_level',
    'log_processor',
    'model',
    'model_wrapper_cfg',
    'optim_wrapper',
    'param_scheduler',
    'randomness',
    'resume',
    'runner_type',
    'strategy',
    'sync_bn',
    'test_cfg',
    'test_dataloader',
    'test_evaluator',
    'train_cfg',
    'train_dataloader',
    'tta_model',
    'tta_pipeline',
    'val_cfg',
    'val_dataloader',
    'val_evaluator',
    'visualizer',
    'work_dir',
}
# mmengine takes None for its own hooks only.
MMENGINE_HOOKS = {
    'checkpoint',
    'logger',
    'param_scheduler',
    'runtime_info',
    'sampler_seed',
    'timer',
}


def read_config(path: str, options: Optional[Dict[str, Any]] = None) -> Config:
    """Read a config file and override settings.

    Args:
        path (str): The file.
        options (dict, optional): The settings; nested keys are joined by dots.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: See ``check_options``.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'The config file {path!r} does not exist.')
    cfg = Config.fromfile(path)
    if options:
        check_options(cfg, options)
        cfg.merge_from_dict(options)
    return cfg


def check_options(cfg: Config, options: Dict[str, Any]) -> None:
    """Check that overridden settings have an effect.

    Args:
        cfg (Config): The config before it is overridden.
        options (dict): The settings; nested keys are joined by dots.

    Raises:
        ValueError: If a key is misspelt, or is a variable of the config file.
            Variables are substituted while the file is read, so that a later
            change has no effect.
    """
    for option in options:
        key = option.split('.')[0]
        if key in KNOWN_KEYS:
            continue
        if key not in cfg:
            similar = difflib.get_close_matches(key, KNOWN_KEYS | set(cfg), n=1)
            if similar:
                raise ValueError(
                    f'--cfg-options has {option!r}, which the config does not '
                    f'have: did you mean {similar[0]!r}?'
                )
        else:
            uses = _uses(cfg, key)
            if uses:
                raise ValueError(
                    f'--cfg-options has {option!r}, a variable of the config file '
                    'that was substituted already: set '
                    f'{", ".join(f"{name}=..." for name in uses)} instead.'
                )


def _uses(cfg: Config, key: str) -> List[str]:
    """Settings that a variable of a config file was substituted in.

    They are those that begin with a text, or are equal to a list or dict; for
    numbers, those with the name of the variable.
    """
    value = cfg[key]
    uses = []
    for name, other in _settings(cfg.to_dict()):
        if isinstance(value, str):
            is_use = bool(value) and isinstance(other, str) and other.startswith(value)
        elif isinstance(value, (list, tuple, dict)):
            is_use = bool(value) and other == value
        else:
            is_use = name.endswith(f'.{key}') and other == value
        if is_use and '.' in name:
            uses.append(name)
    return uses


def _settings(value: Any, name: str = '') -> Iterator[Tuple[str, Any]]:
    """All settings, also those in lists, with nested keys joined by dots."""
    if isinstance(value, dict):
        items: Iterable[Tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        items = ()
    if name:
        yield name, value
    for key, child in items:
        yield from _settings(child, f'{name}.{key}' if name else str(key))


def warn_of_unread_keys(cfg: Config) -> None:
    """Warn of keys of a config file that nothing reads.

    They are misspelt parts, and a ``data_root`` that no data set was built
    from: a config that inherits the data sets has to set it in each of them.

    Args:
        cfg (Config): The config.
    """
    for key, value in cfg.items():
        similar = difflib.get_close_matches(key, KNOWN_KEYS, n=1, cutoff=0.9)
        if isinstance(value, dict) and key not in KNOWN_KEYS and similar:
            print_log(
                f'Nothing reads {key!r} of the config: did you mean {similar[0]!r}?',
                level=logging.WARNING,
            )
    root = cfg.get('data_root')
    others = [
        name for name, _ in _settings(cfg.to_dict()) if name.endswith('.data_root')
    ]
    if root and others and not _uses(cfg, 'data_root'):
        print_log(
            f'No data set reads data_root={root!r} of the config, since inherited '
            'data sets keep theirs: set '
            f'{", ".join(f"{name}=..." for name in others)} instead.',
            level=logging.WARNING,
        )


def drop_empty_hooks(cfg: Config) -> None:
    """Remove hooks that are set to None.

    Args:
        cfg (Config): The config, which is changed in place.
    """
    hooks = cfg.get('default_hooks', {})
    for name in list(hooks):
        if hooks[name] is None and name not in MMENGINE_HOOKS:
            del hooks[name]
