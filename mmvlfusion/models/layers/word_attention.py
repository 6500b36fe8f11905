"""Self-attention within many short sequences, such as the words of TNT."""
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F

from .attention import SelfAttention


class WordAttention(SelfAttention):
    """``SelfAttention`` that is fast on a CPU for many short sequences.

    ``scaled_dot_product_attention`` runs two small matrix products for every
    sequence and head there, and what surrounds a product of 16 x 6 elements
    costs more than the product. Here the products of all are one batched
    product, or, compiled, sums that the compiler joins to the softmax. Both
    have the tokens innermost, since they are more than the channels of a head.

    Parameters and outputs are those of ``SelfAttention``, which serves other
    devices, masks, chosen queries and bfloat16 that is not compiled.
    """

    def forward(self,
                x: torch.Tensor,
                mask: Optional[torch.Tensor] = None,
                num_queries: Optional[int] = None) -> torch.Tensor:
        """See ``SelfAttention.forward``."""
        compiling = torch.compiler.is_dynamo_compiling() and \
            isinstance(self.qkv, nn.Linear)
        if (x.device.type != 'cpu' or mask is not None
                or num_queries is not None
                or not (compiling or self._is_single(x))):
            return super().forward(x, mask, num_queries)
        x = self._mix_compiled(x) if compiling else self._mix_batched(x)
        return self.drop(self.proj(x))

    @staticmethod
    def _is_single(x: torch.Tensor) -> bool:
        return x.dtype == torch.float32 and not torch.is_autocast_enabled('cpu')

    def _mix_batched(self, x: torch.Tensor) -> torch.Tensor:
        """Values mixed by attention, (B, N, D), by batched products."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 4, 1).flatten(1, 2)
        scores = (q * q.shape[1]**-0.5).mT @ k  # B * heads, queries, keys
        x = v @ scores.softmax(dim=2).mT
        x = x.unflatten(0, (-1, self.num_heads)).flatten(1, 2)
        return x.mT.contiguous()

    def _mix_compiled(self, x: torch.Tensor) -> torch.Tensor:
        """Values mixed by attention, (B, N, D), by sums of products."""
        bias = self.qkv.bias
        qkv = F.linear(self.qkv.weight, x.flatten(0, 1))
        qkv = qkv if bias is None else qkv + bias[:, None]
        q, k, v = qkv.unflatten(0, (3, self.num_heads, -1)).unflatten(
            3, x.shape[:2])  # each heads, D / heads, B, N
        scores = (k.unsqueeze(4) * q.unsqueeze(3)).sum(dim=1)
        scores = scores * q.shape[1]**-0.5  # heads, B, keys, queries
        scores = (scores - scores.amax(dim=2, keepdim=True)).exp()
        scale = 1 / scores.sum(dim=2)
        # A sum for each channel: one pass over the scores makes them all.
        channels = [(channel.unsqueeze(3) * scores).sum(dim=2) * scale
                    for channel in v.unbind(1)]
        return torch.stack(channels, dim=1).permute(2, 3, 0, 1).flatten(2)
