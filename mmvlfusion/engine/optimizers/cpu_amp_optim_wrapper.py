"""Mixed precision on a CPU."""

from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmvlfusion.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 autocast on a CPU.

    mmengine's ``AmpOptimWrapper`` requires an accelerator. bfloat16 has the
    same range as float32, so no loss scaling is needed.

    Args:
        **kwargs: Arguments of ``mmengine.optim.OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast and the context of the base class.

        Args:
            model (nn.Module): The model.

        Yields:
            None: The context of a forward pass.
        """
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
