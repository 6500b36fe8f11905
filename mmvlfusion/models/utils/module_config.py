"""Config of the module that a builder with the argument ``module`` modifies."""

import inspect
from typing import Any, Callable, Dict, Mapping, Optional, Union

from mmengine.registry import MODELS as HOST_MODELS

from mmvlfusion.hosts import HOSTS
from mmvlfusion.utils.checks import require


def module_config(
    module: Union[str, type, dict], arguments: Dict[str, Any]
) -> Dict[str, Any]:
    """Join the config of a module with further arguments, and find its class.

    Args:
        module (str | type | dict): Type or config of any registered class.
        arguments (dict): Further arguments of the module, which override those
            of its config.

    Returns:
        dict: The config. Its ``type`` is the class, as mmengine finds it.

    Raises:
        ImportError: If the host of the module is missing or not supported.
        ValueError: If ``module`` is not a registered class.
    """
    if isinstance(module, dict):
        cfg = {**module, **arguments}
    else:
        cfg = dict(arguments, type=module)
    found: Union[Callable, str, None] = cfg.get('type')
    if found is None:
        raise ValueError(
            f'module={cfg!r} has no type: give the type or the config of a '
            'model, such as mmpretrain.VisionTransformer.'
        )
    if isinstance(found, str):
        scope = found.split('.')[0]
        if scope in HOSTS:
            require(scope)
        with HOST_MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
            found = registry.get(found)
    if not isinstance(found, type):
        reason = 'is not registered' if found is None else 'is not a class'
        raise ValueError(
            f'module={cfg["type"]!r} {reason}: give the type of an unmodified '
            'model, with its scope, such as mmpretrain.VisionTransformer.'
        )
    return dict(cfg, type=found)


def named_builder(
    cfg: dict, builders: Mapping[Callable, Optional[str]]
) -> Optional[Callable]:
    """Find the builder that a config names.

    Args:
        cfg (dict): Config of a module.
        builders (Mapping[Callable, str | None]): The builders to look for, as the
            keys.

    Returns:
        Callable | None: The builder, or None if it is not one of them.
    """
    builder = cfg.get('type')
    if isinstance(builder, str):
        builder = HOST_MODELS.get(builder)
    return builder if builder in builders else None


def without_builders(
    cfg: dict, builders: Mapping[Callable, Optional[str]], signature: Callable
) -> dict:
    """Rewrite the config of a model without builders.

    Args:
        cfg (dict): Config of a model, of which any part may name a builder.
        builders (Mapping[Callable, str | None]): The builders; for those that have
            the argument ``host`` instead of ``module``, the name of the host's class.
        signature (Callable): The builder whose arguments are removed.

    Returns:
        dict: The config of the unmodified model.
    """
    result = type(cfg)()
    for key, value in cfg.items():
        if isinstance(value, dict):
            value = without_builders(value, builders, signature)
        elif isinstance(value, (list, tuple)):
            value = type(value)(
                without_builders(part, builders, signature)
                if isinstance(part, dict)
                else part
                for part in value
            )
        result[key] = value
    builder = named_builder(cfg, builders)
    if builder is None:
        return result
    for key in inspect.signature(signature).parameters:
        if key != 'module':
            result.pop(key, None)
    name = builders[builder]
    if name is not None:
        result['type'] = f'{result.pop("host", "mmpretrain")}.{name}'
        return result
    module = result.pop('module')
    if not isinstance(module, dict):
        result['type'] = module
        return result
    del result['type']
    return type(cfg)({**module, **result})
