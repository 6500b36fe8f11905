"""The registries of mmvlfusion, children of mmengine's root registries.

Their scope is ``mmvlfusion``. They import the packages of their modules when
they are used, so ``type='mmvlfusion.X'`` works in any host's script without
``custom_imports``.
"""

from typing import Optional

from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope

SCOPE = 'mmvlfusion'


class Registry(mmengine_registry.Registry):
    """A registry that also searches the host for types without a scope.

    mmengine builds what a config inherits from ``mmvlfusion::...`` in the
    scope ``mmvlfusion``. Our configs name most types as their host does,
    without a scope. Such a type is searched for in mmvlfusion, then in the
    host, then in mmengine.

    The host is the innermost default scope other than mmvlfusion. If no such
    scope is set, as in ``mmengine.hub.get_model``, the host is the scope of the
    first type that was looked up with a scope, such as ``mmdet.FasterRCNN``, or
    the last host within whose scope a type was looked up: inferencers build the
    data set in our scope, after the model in that of its config. A type with our
    scope (``mmvlfusion.X``) is only searched for in mmvlfusion.
    """

    last_host: Optional[str] = None

    def get(self, key: str) -> Optional[type]:
        """Get the class of a type.

        Args:
            key (str): The type, with or without a scope.

        Returns:
            type | None: The class, or None if no class has this name.
        """
        scope, name = self.split_scope_key(key)
        if scope is not None:
            found = super().get(key)
            if found is not None and scope in self.root.children:
                _remember_host(scope)
            return found
        self.import_from_location()
        host = _scope_of_host()
        if host in self.root.children:
            Registry.last_host = host
        host = host or Registry.last_host
        if (
            name not in self.module_dict
            and _is_current_scope()
            and host in self.root.children
        ):
            found = self.root.get(f'{host}.{name}')
            if found is not None:
                return found
        return super().get(key)


def _is_current_scope() -> bool:
    """Check whether the default scope is mmvlfusion."""
    current = DefaultScope.get_current_instance()
    return current is not None and current.scope_name == SCOPE


def _scope_of_host() -> Optional[str]:
    """Find the innermost default scope that is not ours."""
    for scope in reversed(DefaultScope._instance_dict.values()):
        if scope.scope_name != SCOPE:
            return scope.scope_name
    return None


def _remember_host(scope: str) -> None:
    """Store the first host that is looked up in the current scope, if it is ours."""
    current = DefaultScope.get_current_instance()
    if (
        scope != SCOPE
        and current is not None
        and _scope_of_host() is None
        and not hasattr(current, 'host')
    ):
        current.host = Registry.last_host = scope


def _child(root: mmengine_registry.Registry, *locations: str) -> Registry:
    """Make a registry with our scope below one of mmengine's."""
    return Registry(root.name, parent=root, scope=SCOPE, locations=locations)


MODELS = _child(mmengine_registry.MODELS, 'mmvlfusion.models')
DATASETS = _child(mmengine_registry.DATASETS, 'mmvlfusion.datasets')
DATA_SAMPLERS = _child(mmengine_registry.DATA_SAMPLERS, 'mmvlfusion.datasets')
TRANSFORMS = _child(mmengine_registry.TRANSFORMS, 'mmvlfusion.datasets')
METRICS = _child(mmengine_registry.METRICS, 'mmvlfusion.evaluation')
HOOKS = _child(mmengine_registry.HOOKS, 'mmvlfusion.engine')
OPTIM_WRAPPERS = _child(mmengine_registry.OPTIM_WRAPPERS, 'mmvlfusion.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS, 'mmvlfusion.engine'
)
STRATEGIES = _child(mmengine_registry.STRATEGIES, 'mmvlfusion.engine')

# mmvlfusion has no modules of these kinds, but inherited configs use their types.
_EMPTY = [
    _child(root, 'mmvlfusion.registry')
    for root in (
        mmengine_registry.EVALUATOR,
        mmengine_registry.FUNCTIONS,
        mmengine_registry.INFERENCERS,
        mmengine_registry.LOG_PROCESSORS,
        mmengine_registry.LOOPS,
        mmengine_registry.MODEL_WRAPPERS,
        mmengine_registry.OPTIMIZERS,
        mmengine_registry.PARAM_SCHEDULERS,
        mmengine_registry.RUNNER_CONSTRUCTORS,
        mmengine_registry.RUNNERS,
        mmengine_registry.TASK_UTILS,
        mmengine_registry.VISBACKENDS,
        mmengine_registry.VISUALIZERS,
        mmengine_registry.WEIGHT_INITIALIZERS,
    )
]
