"""Parameters and multiply-accumulates of a model."""
from typing import Any, Callable, Dict, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

CONVENTIONS = ('macs', 'macs-no-attention', 'flops', 'flops-no-attention')


class Complexity(NamedTuple):
    """Size and cost of one forward pass.

    ``params`` counts parameters. ``weight_macs`` and ``attention_macs`` count
    multiply-accumulates with weights and among activations.
    """
    params: int
    weight_macs: int
    attention_macs: int

    def operations(self, convention: str) -> int:
        """The operations under one of ``CONVENTIONS``: multiply-accumulates
        or FLOPs, which are twice as many, with or without attention's."""
        if convention not in CONVENTIONS:
            raise ValueError(f'convention={convention!r} is none of '
                             f'{list(CONVENTIONS)}.')
        macs = self.weight_macs
        if not convention.endswith('no-attention'):
            macs += self.attention_macs
        return macs * (2 if convention.startswith('flops') else 1)


def measure(model: nn.Module, forward: Callable[[], Any]) -> Complexity:
    """Count the parameters of a model and the operations of a call.

    mmengine's counter leaves out ``scaled_dot_product_attention``; this one
    stands on PyTorch's own, with attention broken up into products.

    Args:
        model (nn.Module): The model; evaluation mode is set.
        forward (Callable): Runs one forward pass of it.

    Returns:
        Complexity: The counts.
    """
    model.eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), \
            FlopCounterMode(display=False) as counter:
        forward()
    counts: Dict[Any, int] = counter.get_flop_counts().get('Global', {})
    macs = [0, 0]
    for operator, flops in counts.items():
        # Batched products (bmm, baddbmm) are those of two activations.
        macs[any(name in str(operator) for name in ('bmm', 'baddbmm'))] += flops // 2
    return Complexity(sum(p.numel() for p in model.parameters()), *macs)
