"""Registration of all modules of mmvlfusion."""


def register_all_modules(init_default_scope: bool = False) -> None:
    """Register the modules of mmvlfusion, as ``mmengine.hub`` expects.

    Args:
        init_default_scope (bool): Whether ``mmvlfusion`` becomes the default
            scope. Defaults to False, since our configs set the host's scope.
    """
    import mmvlfusion.datasets
    import mmvlfusion.engine
    import mmvlfusion.evaluation
    import mmvlfusion.models  # noqa: F401

    if init_default_scope:
        from mmengine.registry import init_default_scope as init_scope

        init_scope('mmvlfusion')
