"""Weight decay of matrices alone."""

from typing import List, Optional, Union

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvlfusion.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MatrixDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, by which parameters of fewer than two dimensions
    (biases, norms, gates) have no weight decay.

    mmengine's own ``norm_decay_mult`` and ``bias_decay_mult`` do not reach what
    ``custom_keys`` give another learning rate.

    Args:
        optim_wrapper_cfg (dict): See the base class.
        paramwise_cfg (dict): See the base class.
    """

    def add_params(
        self,
        params: List[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: Optional[Union[int, float]] = None,
    ) -> None:
        """Add the parameters of a module and its children to ``params``."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return  # The call for the whole model looks at all.
        for group in params:
            if group['params'][0].ndim < 2:
                group['weight_decay'] = 0.0
