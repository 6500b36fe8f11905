"""Attention of TNT: one module, several back ends with equal outputs."""

from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F

from mmvlfusion.utils.torch_versions import is_compiling

from ...layers import SelfAttention, TransformerBlock, mask_of_keys


class TNTAttention(SelfAttention):
    """Self-attention of words and sentences.

    Parameters and outputs are those of ``SelfAttention``; the back end depends
    on the input. The first row that applies is taken:

    ============== ======================= ====================================
    back end       used for                reason
    ============== ======================= ====================================
    few queries    ``num_queries``         does not project keys and values of
                                           the whole sequence
    compiled sums  short sequences on a    Inductor fuses element-wise products
                   CPU, ``torch.compile``  and sums with the softmax
    batched matmul short sequences on a    SDPA runs two tiny matmuls per
                   CPU, float32            sequence and head, so that call
                                           overhead dominates
    fused (SDPA)   everything else         one kernel on accelerators
    ============== ======================= ====================================

    The inner block as a whole can run as one kernel instead, ``FusedInnerBlock``.
    Short sequences with a mask use SDPA. The first two back ends read
    ``qkv.weight`` and need a plain ``nn.Linear``; other layers (low rank,
    LoRA) are called, and the later rows apply.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads.
        qkv_bias (bool): Whether query, key and value have a bias.
            Defaults to False.
        drop_rate (float): Dropout after the output projection. Defaults to 0.
        short_sequences (bool): Whether the input has many short sequences, as
            the words of all patches are. Defaults to False.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool = False,
        drop_rate: float = 0.0,
        short_sequences: bool = False,
    ) -> None:
        super().__init__(embed_dims, num_heads, qkv_bias, drop_rate)
        self.short_sequences = short_sequences

    def forward(
        self,
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        num_queries: Optional[int] = None,
    ) -> torch.Tensor:
        """Attend from the first Q tokens of each sequence to all of them.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, N).
                Defaults to None, all.
            num_queries (int, optional): Q. Defaults to None, all N.

        Returns:
            torch.Tensor: Shape (B, Q, D).
        """
        is_plain = type(self.qkv) is nn.Linear
        is_short = (
            self.short_sequences
            and x.device.type == 'cpu'
            and mask is None
            and num_queries is None
        )
        if num_queries is not None and is_plain:
            mixed = self._mix_few_queries(x, mask, num_queries)
        elif is_short and is_plain and is_compiling():
            mixed = self._mix_compiled(x)
        else:
            q, k, v = self._project(x)
            if is_short and q.dtype == torch.float32:
                mixed = self._mix_batched(q, k, v)
            else:
                mixed = self._mix(q[:, :, :num_queries], k, v, mask_of_keys(mask))
        return self.drop(self.proj(mixed))

    def _mix_few_queries(
        self, x: torch.Tensor, mask: Optional[torch.Tensor], num_queries: int
    ) -> torch.Tensor:
        """Attention output (B, Q, D) of the first Q tokens of (B, N, D).

        A score is q (W_k x) = (q W_k) x, and values are mixed before W_v. The
        bias of the keys adds the same to all scores of a query, which the
        softmax ignores; that of the values passes, as the weights sum to one.
        """
        w_q, w_k, w_v = self.qkv.weight.chunk(3)
        w_k = w_k.unflatten(0, (self.num_heads, -1))
        w_v = w_v.unflatten(0, (self.num_heads, -1))
        b_q = b_v = None
        if self.qkv.bias is not None:
            b_q, _, b_v = self.qkv.bias.chunk(3)
        q = F.linear(x[:, :num_queries], w_q, b_q)
        q = q.unflatten(2, (self.num_heads, -1))
        scale = q.shape[-1] ** -0.5
        # (B, Q, heads, D / heads) -> (B, heads * Q, D)
        q = torch.einsum('bnhc,hcd->bhnd', q, w_k).flatten(1, 2)
        tokens = x.unsqueeze(1)
        mixed = F.scaled_dot_product_attention(
            q.unsqueeze(1), tokens, tokens, attn_mask=mask_of_keys(mask), scale=scale
        )
        mixed = mixed.squeeze(1).unflatten(1, (self.num_heads, num_queries))
        # (B, heads, Q, D) -> (B, Q, D)
        mixed = torch.einsum('bhnd,hcd->bnhc', mixed, w_v).flatten(2)
        return mixed if b_v is None else mixed + b_v

    def _mix_batched(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """Attention output (B, N, D), from (B, heads, N, D / heads) each, by
        one batched matmul over all sequences and heads."""
        # (B * heads, D / heads, N): the tokens are the contiguous axis.
        q = q.mT.flatten(0, 1)
        k = k.mT.flatten(0, 1)
        v = v.mT.flatten(0, 1)
        scores = (q * q.shape[1] ** -0.5).mT @ k
        mixed = v @ scores.softmax(dim=2).mT
        mixed = mixed.unflatten(0, (-1, self.num_heads)).flatten(1, 2)
        return mixed.mT.contiguous()

    def _mix_compiled(self, x: torch.Tensor) -> torch.Tensor:
        """Attention output (B, N, D), by element-wise products and sums that
        Inductor fuses with the softmax."""
        qkv = F.linear(self.qkv.weight, x.flatten(0, 1))
        if self.qkv.bias is not None:
            qkv = qkv + self.qkv.bias[:, None]
        # (3 * D, B * N) -> three times (heads, D / heads, B, N)
        q, k, v = qkv.unflatten(0, (3, self.num_heads, -1)).unflatten(3, x.shape[:2])
        scores = (k.unsqueeze(4) * q.unsqueeze(3)).sum(dim=1)
        scores = scores * q.shape[1] ** -0.5  # (heads, B, keys, queries)
        scores = (scores - scores.detach().amax(dim=2, keepdim=True)).exp()
        scale = 1 / scores.sum(dim=2)
        # One sum per channel, so that one pass over the scores makes them all.
        channels = [
            (channel.unsqueeze(3) * scores).sum(dim=2) * scale
            for channel in v.unbind(1)
        ]
        return torch.stack(channels, dim=1).permute(2, 3, 0, 1).flatten(2)


class ClassTokenBlock(TransformerBlock):
    """A transformer block that only updates the class token.

    Its output is the first token of what a ``TransformerBlock`` with the same
    weights returns. Used as the last block where no other token is read.

    Args:
        **kwargs: See ``TransformerBlock``; the attention is ``TNTAttention``.
    """

    def forward(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Update the class token.

        Args:
            x (torch.Tensor): Shape (B, N, D), the class token first.
            mask (torch.Tensor, optional): True at valid tokens, (B, N).
                Defaults to None, all.

        Returns:
            torch.Tensor: The class token, (B, 1, D).
        """
        update = self.attn(self.norm1(x), mask, num_queries=1)
        x = x[:, :1] + self.drop_path(update)
        return x + self.drop_path(self._feed_forward(self.norm2(x)))
