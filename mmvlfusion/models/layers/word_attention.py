"""Self-attention within many short sequences, such as the words of TNT."""
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F

from .attention import SelfAttention

# torch.compiler has it from PyTorch 2.3 on.
_is_compiling = getattr(torch.compiler, 'is_dynamo_compiling', None)
if _is_compiling is None:
    from torch._dynamo import is_compiling as _is_compiling


class WordAttention(SelfAttention):
    """``SelfAttention`` that is fast on a CPU for many short sequences.

    ``scaled_dot_product_attention`` runs two small matrix products for every
    sequence and head there, and what surrounds a product of 16 x 6 elements
    costs more than the product. Here the products of all are one batched
    product, or, compiled, sums that the compiler joins to the softmax; both
    have the tokens innermost, as TNT's words are more than a head's channels.

    Parameters and outputs are those of ``SelfAttention``, which serves masks,
    other devices, and other precisions than float32 where not compiled.
    """

    def forward(self,
                x: torch.Tensor,
                mask: Optional[torch.Tensor] = None,
                num_queries: Optional[int] = None) -> torch.Tensor:
        """See ``SelfAttention.forward``."""
        if (_is_compiling() and x.device.type == 'cpu'
                and mask is None and num_queries is None
                and type(self.qkv) is nn.Linear):
            return self.drop(self.proj(self._mix_compiled(x)))
        return super().forward(x, mask, num_queries)

    def _mix(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
             mask: Optional[torch.Tensor]) -> torch.Tensor:
        if (q.device.type != 'cpu' or q.dtype != torch.float32
                or mask is not None):
            return super()._mix(q, k, v, mask)
        q, k, v = (part.mT.flatten(0, 1) for part in (q, k, v))
        scores = (q * q.shape[1]**-0.5).mT @ k  # B * heads, queries, keys
        x = v @ scores.softmax(dim=2).mT
        x = x.unflatten(0, (-1, self.num_heads)).flatten(1, 2)
        return x.mT.contiguous()

    def _mix_compiled(self, x: torch.Tensor) -> torch.Tensor:
        """Values of the tokens x mixed by attention, (B, N, D)."""
        bias = self.qkv.bias
        qkv = F.linear(self.qkv.weight, x.flatten(0, 1))
        qkv = qkv if bias is None else qkv + bias[:, None]
        q, k, v = qkv.unflatten(0, (3, self.num_heads, -1)).unflatten(
            3, x.shape[:2])  # each heads, D / heads, B, N
        scores = (k.unsqueeze(4) * q.unsqueeze(3)).sum(dim=1)
        scores = scores * q.shape[1]**-0.5  # heads, B, keys, queries
        scores = (scores - scores.detach().amax(dim=2, keepdim=True)).exp()
        scale = 1 / scores.sum(dim=2)
        # A sum for each channel: one pass over the scores makes them all.
        channels = [(channel.unsqueeze(3) * scores).sum(dim=2) * scale
                    for channel in v.unbind(1)]
        return torch.stack(channels, dim=1).permute(2, 3, 0, 1).flatten(2)
