"""Checks of the settings that ``--cfg-options`` overrides."""

import difflib
from typing import Any, Dict, Iterator

from mmengine.config import Config

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
        elif isinstance(cfg[key], str):
            uses = [name for name in _keys_of(cfg, cfg[key]) if name != key]
            if uses:
                raise ValueError(
                    f'--cfg-options has {option!r}, a variable of the config file '
                    'that was substituted already: set '
                    f'{", ".join(f"{name}=..." for name in uses)} instead.'
                )


def _keys_of(cfg: Any, value: Any, prefix: str = '') -> Iterator[str]:
    """Keys of the settings that have a value."""
    for name, other in cfg.items():
        if isinstance(other, dict):
            yield from _keys_of(other, value, f'{prefix}{name}.')
        elif type(other) is type(value) and other == value:
            yield prefix + name


def drop_empty_hooks(cfg: Config) -> None:
    """Remove hooks that are set to None.

    Args:
        cfg (Config): The config, which is changed in place.
    """
    hooks = cfg.get('default_hooks', {})
    for name in list(hooks):
        if hooks[name] is None and name not in MMENGINE_HOOKS:
            del hooks[name]
