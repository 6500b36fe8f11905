"""Attention weights of a module while it runs, with their gradient."""

from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode


class _ExplicitAttention(TorchFunctionMode):
    """Compute ``scaled_dot_product_attention`` by explicit weights."""

    def __init__(self, recorded: List[torch.Tensor]) -> None:
        super().__init__()
        self.recorded = recorded

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        """Replace the fused attention; other functions are unchanged."""
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs or {})
        return func(*args, **kwargs or {})

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: Optional[torch.Tensor] = None,
        dropout_p: float = 0.0,
    ) -> torch.Tensor:
        """Attention with recorded weights, (B, heads, queries, keys)."""
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        weights = scores.softmax(dim=-1)
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights.requires_grad_()
        self.recorded.append(weights)
        return F.dropout(weights, dropout_p) @ value


@contextmanager
def recorded_attention(module: nn.Module) -> Iterator[List[torch.Tensor]]:
    """Record the attention weights of a module while it runs.

    The module calls ``scaled_dot_product_attention`` with a boolean mask or none,
    as the attentions of this project and of mmpretrain's ViT do. Within it the
    weights are computed explicitly, so that gradients with respect to them exist.

    Args:
        module (nn.Module): The attention.

    Yields:
        list[torch.Tensor]: The weights of each call, (B, heads, queries, keys).
    """
    recorded: List[torch.Tensor] = []
    modes: List[_ExplicitAttention] = []

    def start(*_: Any) -> None:
        modes.append(_ExplicitAttention(recorded))
        modes[-1].__enter__()

    def stop(*_: Any) -> None:
        modes.pop().__exit__(None, None, None)

    handles = [
        module.register_forward_pre_hook(start),
        module.register_forward_hook(stop, always_call=True),
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
