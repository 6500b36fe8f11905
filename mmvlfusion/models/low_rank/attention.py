"""``nn.MultiheadAttention`` with low-rank projections."""
from typing import Callable, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from .linear import LowRankLinear


class LowRankMultiheadAttention(nn.MultiheadAttention):
    """Attention whose packed projection of query, key and value and whose
    output projection are low-rank layers.

    An existing module becomes one of this class, so that whoever holds it
    keeps it; it is not built by itself. ``in_proj_weight`` is computed.
    """

    @staticmethod
    def accepts(module: nn.Module) -> bool:
        """Whether a module can become one of this class: plain attention with
        one width for query, key and value, and without biases that are
        appended to the sequence."""
        return (type(module) is nn.MultiheadAttention
                and module._qkv_same_embed_dim and module.bias_k is None
                and not module.add_zero_attn)

    @staticmethod
    def owner(model: nn.Module, name: str) -> Optional[nn.MultiheadAttention]:
        """The attention whose packed projection has a name in a model; None
        if the name is that of another layer."""
        parent, _, child = name.rpartition('.')
        parent = model.get_submodule(parent)
        packed = child == 'in_proj' and isinstance(parent,
                                                   nn.MultiheadAttention)
        return parent if packed else None

    @staticmethod
    def packed_projection(module: nn.MultiheadAttention) -> nn.Linear:
        """The packed projection as a linear layer without bias."""
        out_features, in_features = module.in_proj_weight.shape
        linear = nn.Linear(in_features, out_features, False, device='meta')
        linear.weight = module.in_proj_weight
        return linear

    @classmethod
    def convert_(cls, module: nn.MultiheadAttention,
                 in_proj: LowRankLinear) -> None:
        """Give a module of the base class a low-rank packed projection."""
        del module.in_proj_weight
        module.__class__ = cls
        module.in_proj = in_proj

    def restore_(self, weight: nn.Parameter) -> None:
        """Turn back into the base class, with a packed weight (3D, D)."""
        del self.in_proj
        self.__class__ = nn.MultiheadAttention
        self.in_proj_weight = weight

    @property
    def in_proj_weight(self) -> torch.Tensor:
        """The dense packed weight, (3D, D)."""
        return self.in_proj.weight

    def _project(self, *inputs: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Query, key and value, each (B, heads, tokens, D / heads)."""
        reduced = _map_distinct(
            lambda x: F.linear(x, self.in_proj.down), *inputs)
        biases = [None] * 3 if self.in_proj_bias is None else \
            self.in_proj_bias.chunk(3)
        return tuple(
            F.linear(x, up, bias).unflatten(2, (self.num_heads, -1)).transpose(
                1, 2)
            for x, up, bias in zip(reduced, self.in_proj.up.chunk(3), biases))

    def _bias(self, key_padding_mask: Optional[torch.Tensor],
              attn_mask: Optional[torch.Tensor],
              query: torch.Tensor) -> Optional[torch.Tensor]:
        """Both masks as one term that is added to the scores, which
        broadcasts to (B, heads, L, S)."""
        bias = None
        if attn_mask is not None:
            bias = _additive(attn_mask, query)
            if bias.dim() == 3:
                bias = bias.unflatten(0, (-1, self.num_heads))
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask, query)[:, None, None]
            bias = padding if bias is None else bias + padding
        return bias

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: Optional[torch.Tensor] = None,
        need_weights: bool = True,
        attn_mask: Optional[torch.Tensor] = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """As ``nn.MultiheadAttention.forward``; the causal mask that
        ``is_causal`` hints at must be given, as there."""
        if is_causal and attn_mask is None:
            raise ValueError('is_causal needs attn_mask.')
        batched = query.dim() == 3
        if not batched:
            query, key, value = _map_distinct(lambda x: x.unsqueeze(0), query,
                                              key, value)
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = _map_distinct(lambda x: x.transpose(0, 1),
                                              query, key, value)
        q, k, v = self._project(query, key, value)
        bias = self._bias(key_padding_mask, attn_mask, q)
        dropout = self.dropout if self.training else 0.
        weights = None
        if need_weights:
            scores = q @ k.mT * q.shape[-1]**-0.5
            weights = (scores if bias is None else scores + bias).softmax(-1)
            weights = F.dropout(weights, dropout)
            out = weights @ v
            if average_attn_weights:
                weights = weights.mean(dim=1)
        else:
            out = F.scaled_dot_product_attention(q, k, v, bias, dropout)
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        if not batched:
            out = out.squeeze(0)
            weights = None if weights is None else weights.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        return out, weights

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        # The child that is loaded next reads its dense weight by this name.
        dense = state_dict.pop(prefix + 'in_proj_weight', None)
        if dense is not None:
            state_dict[prefix + 'in_proj.weight'] = dense
        super()._load_from_state_dict(state_dict, prefix, *args)


def _map_distinct(function: Callable, query: torch.Tensor, key: torch.Tensor,
                  value: torch.Tensor) -> Tuple[torch.Tensor, ...]:
    """Apply a function to three tensors, once where they are the same."""
    q = function(query)
    k = q if key is query else function(key)
    if value is key:
        return q, k, k
    return q, k, q if value is query else function(value)


def _additive(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A mask as a term that is added; in a boolean one, True is hidden."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(
            mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
    return mask.to(like.dtype)
