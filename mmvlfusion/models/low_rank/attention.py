"""``nn.MultiheadAttention`` with low-rank projections."""

from typing import Callable, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from .linear import LowRankLinear


class LowRankMultiheadAttention(nn.MultiheadAttention):
    """Attention with a low-rank packed projection of query, key and value; the
    output projection may be low-rank as well.

    ``in_proj_weight`` is computed from the factors.

    Args:
        dense (nn.MultiheadAttention): The module whose settings, output
            projection and biases are taken over.
        in_proj (LowRankLinear): The packed projection, without bias.
    """

    def __init__(self, dense: nn.MultiheadAttention, in_proj: LowRankLinear) -> None:
        # The constructor of the base class allocates the dense weights.
        nn.Module.__init__(self)
        for name in (
            'embed_dim',
            'kdim',
            'vdim',
            '_qkv_same_embed_dim',
            'num_heads',
            'dropout',
            'batch_first',
            'head_dim',
            'add_zero_attn',
            'bias_k',
            'bias_v',
        ):
            setattr(self, name, getattr(dense, name))
        self.in_proj = in_proj
        self.register_parameter('in_proj_bias', dense.in_proj_bias)
        self.out_proj = dense.out_proj
        self.training = dense.training

    def to_dense(
        self, in_proj_weight: nn.Parameter, out_proj: nn.Module
    ) -> nn.MultiheadAttention:
        """Make a dense attention with the same settings and biases.

        Args:
            in_proj_weight (nn.Parameter): The packed weight, (3D, D).
            out_proj (nn.Module): The output projection.

        Returns:
            nn.MultiheadAttention: The dense module.
        """
        dense = nn.MultiheadAttention(
            self.embed_dim,
            self.num_heads,
            self.dropout,
            bias=self.in_proj_bias is not None,
            batch_first=self.batch_first,
            device='meta',
        )
        dense.in_proj_weight = in_proj_weight
        dense.in_proj_bias = self.in_proj_bias
        dense.out_proj = out_proj
        dense.training = self.training
        return dense

    @property
    def in_proj_weight(self) -> torch.Tensor:
        """The dense packed weight, (3D, D)."""
        return self.in_proj.weight

    def _project(self, *inputs: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Query, key and value, each (B, heads, tokens, D / heads)."""
        reduced = _map_distinct(lambda x: F.linear(x, self.in_proj.down), *inputs)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(
            F.linear(x, up, bias).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x, up, bias in zip(reduced, self.in_proj.up.chunk(3), biases)
        )

    def _bias(
        self,
        key_padding_mask: Optional[torch.Tensor],
        attn_mask: Optional[torch.Tensor],
        query: torch.Tensor,
    ) -> Optional[torch.Tensor]:
        """Both masks as one additive mask of the scores, which broadcasts to
        (B, heads, L, S)."""
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
        """See ``nn.MultiheadAttention.forward``.

        Raises:
            ValueError: If ``is_causal`` is set without ``attn_mask``.
        """
        if is_causal and attn_mask is None:
            raise ValueError('is_causal needs attn_mask.')
        batched = query.dim() == 3
        if not batched:
            query, key, value = _map_distinct(
                lambda x: x.unsqueeze(0), query, key, value
            )
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = _map_distinct(
                lambda x: x.transpose(0, 1), query, key, value
            )
        q, k, v = self._project(query, key, value)
        bias = self._bias(key_padding_mask, attn_mask, q)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.mT * q.shape[-1] ** -0.5
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

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # The child that is loaded next reads its dense weight by this name.
        dense = state_dict.pop(prefix + 'in_proj_weight', None)
        if dense is not None:
            state_dict[prefix + 'in_proj.weight'] = dense
        super()._load_from_state_dict(state_dict, prefix, *args)


def _map_distinct(
    function: Callable, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> Tuple[torch.Tensor, ...]:
    """Apply a function to three tensors, once where they are the same."""
    q = function(query)
    k = q if key is query else function(key)
    if value is key:
        return q, k, k
    return q, k, q if value is query else function(value)


def _additive(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A mask as a term that is added; in a boolean one, True is
    masked out."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
    return mask.to(like.dtype)
