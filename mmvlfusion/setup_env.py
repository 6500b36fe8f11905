"""Registration of everything that mmvlfusion offers."""


def register_all_modules(init_default_scope: bool = False) -> None:
    """Register the modules of mmvlfusion, as ``mmengine.hub`` expects.

    Args:
        init_default_scope (bool): Whether ``mmvlfusion`` becomes the default
            scope. Our configs name the host's scope instead, so it defaults
            to False.
    """
    import mmvlfusion.datasets
    import mmvlfusion.engine
    import mmvlfusion.evaluation
    import mmvlfusion.models  # noqa: F401

    if init_default_scope:
        from mmengine.registry import init_default_scope as init_scope

        init_scope('mmvlfusion')
