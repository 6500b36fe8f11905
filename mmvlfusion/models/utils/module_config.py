"""Config of the module that a builder with the argument ``module`` modifies."""

from typing import Any, Callable, Dict, Union

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
