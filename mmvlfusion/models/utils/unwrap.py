"""The model within wrappers."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module, deploy: bool = False) -> nn.Module:
    """Remove the wrappers of a model.

    Args:
        model (nn.Module): The model, perhaps wrapped for distributed training
            or test-time augmentation.
        deploy (bool): Whether to return the part that is used after training,
            the ``deploy_model`` of a distiller. Defaults to False.

    Returns:
        nn.Module: The model.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return getattr(model, 'deploy_model', model) if deploy else model
