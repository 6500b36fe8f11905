"""Weight decay for matrices only."""

from typing import List, Optional, Union

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvlfusion.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MatrixDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, without weight decay for vectors and scalars.

    Parameters with fewer than two dimensions, such as biases, norms and gates,
    have no weight decay. mmengine's ``norm_decay_mult`` and
    ``bias_decay_mult`` do not apply to parameters that match
    ``custom_keys``.

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
        """See ``DefaultOptimWrapperConstructor.add_params``."""
        super().add_params(params, module, prefix, is_dcn_module)
        # The base class calls this method for each submodule, with a prefix.
        # The outermost call has no prefix and gets the groups of all parameters.
        if prefix:
            return
        for group in params:
            if group['params'][0].ndim < 2:
                group['weight_decay'] = 0.0
