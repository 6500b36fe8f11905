"""Mixed precision without an accelerator."""

from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmvlfusion.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 autocast on a CPU.

    mmengine's ``AmpOptimWrapper`` insists on an accelerator. bfloat16 has the
    range of float32, so no loss scaling is needed.

    Args:
        **kwargs: Arguments of ``mmengine.optim.OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and whatever gradient accumulation asks for."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
