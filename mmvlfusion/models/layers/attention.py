"""Self- and cross-attention, and the transformer blocks of both.

Masks are boolean, (B, tokens), True where a token is real; a sequence needs one
real token at least.
"""
from typing import Callable, Optional, Tuple, Type

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN

from .squeeze_excitation import SqueezeExcitation


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused query-key-value product.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
        qkv_bias (bool): Whether query, key and value have a bias.
            Defaults to False.
        drop_rate (float): Dropout after the output projection. Defaults to 0.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(self,
                 embed_dims: int,
                 num_heads: int,
                 qkv_bias: bool = False,
                 drop_rate: float = 0.) -> None:
        super().__init__()
        _check_heads(embed_dims, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def _project(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Query, key and value, each (B, heads, N, D / heads)."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self,
                x: torch.Tensor,
                mask: Optional[torch.Tensor] = None,
                num_queries: Optional[int] = None) -> torch.Tensor:
        """Attend from the first ``num_queries`` tokens of each sequence, a
        few, or all, to all, (B, N, D) to (B, num_queries, D)."""
        mask = _for_keys(mask)
        if num_queries is not None and type(self.qkv) is nn.Linear:
            x = self._mix_for_few(x, mask, num_queries)
        else:
            q, k, v = self._project(x)
            x = self._mix(q[:, :, :num_queries], k, v, mask)
        return self.drop(self.proj(x))

    def _mix(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
             mask: Optional[torch.Tensor]) -> torch.Tensor:
        """Values mixed by attention, (B, queries, D), of each (B, heads,
        tokens, D / heads)."""
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x.transpose(1, 2).flatten(2)

    def _mix_for_few(self, x: torch.Tensor, mask: Optional[torch.Tensor],
                     num_queries: int) -> torch.Tensor:
        """Values mixed for the first tokens, (B, num_queries, D), without a
        key and a value for every token.

        A score is q (W_k x) = (q W_k) x, and values are mixed before W_v. The
        bias of the keys adds the same to all scores of a query, which the
        softmax ignores; that of the values passes, as the weights sum to one.
        """
        w_q, w_k, w_v = self.qkv.weight.chunk(3)
        b_q, _, b_v = (None, ) * 3 if self.qkv.bias is None else \
            self.qkv.bias.chunk(3)
        w_k, w_v = (w.unflatten(0, (self.num_heads, -1)) for w in (w_k, w_v))
        q = F.linear(x[:, :num_queries], w_q, b_q)
        q = q.unflatten(2, (self.num_heads, -1))
        scale = q.shape[-1]**-0.5
        q = torch.einsum('bnhc,hcd->bhnd', q, w_k).flatten(1, 2)
        tokens = x.unsqueeze(1)
        x = F.scaled_dot_product_attention(
            q.unsqueeze(1), tokens, tokens, attn_mask=mask, scale=scale)
        x = x.squeeze(1).unflatten(1, (self.num_heads, num_queries))
        x = torch.einsum('bhnd,hcd->bnhc', x, w_v).flatten(2)
        return x if b_v is None else x + b_v

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """The weights by which ``forward`` mixes the tokens of ``x``, of shape
        (B, heads, N, N): a row for each query, which sums to one."""
        q, k, _ = self._project(x)
        return (q @ k.mT * q.shape[-1]**-0.5).softmax(dim=-1)


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to those of another sequence.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
        memory_dims (int, optional): Channels of the other sequence. Defaults
            to ``embed_dims``.
        drop_rate (float): Dropout after the output projection. Defaults to 0.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(self,
                 embed_dims: int,
                 num_heads: int,
                 memory_dims: Optional[int] = None,
                 drop_rate: float = 0.) -> None:
        super().__init__()
        _check_heads(embed_dims, num_heads)
        self.num_heads = num_heads
        self.q = nn.Linear(embed_dims, embed_dims)
        self.kv = nn.Linear(memory_dims or embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def _project(self, x: torch.Tensor, memory: torch.Tensor
                 ) -> Tuple[torch.Tensor, ...]:
        """Query, key and value, each (B, heads, tokens, D / heads)."""
        q = self.q(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        kv = self.kv(memory).unflatten(2, (2, self.num_heads, -1))
        return (q, *kv.permute(2, 0, 3, 1, 4).unbind(0))

    def forward(self,
                x: torch.Tensor,
                memory: torch.Tensor,
                mask: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Attend from x (B, N, D) to memory (B, S, C), of which ``mask``
        (B, S) tells the real tokens; (B, N, D)."""
        x = F.scaled_dot_product_attention(
            *self._project(x, memory), attn_mask=_for_keys(mask))
        return self.drop(self.proj(x.transpose(1, 2).flatten(2)))

    def attention_map(self,
                      x: torch.Tensor,
                      memory: torch.Tensor,
                      mask: Optional[torch.Tensor] = None) -> torch.Tensor:
        """The weights of ``forward``, (B, heads, N, S), rows of sum one."""
        q, k, _ = self._project(x, memory)
        scores = q @ k.mT * q.shape[-1]**-0.5
        if mask is not None:
            scores = scores.masked_fill(~_for_keys(mask), -torch.inf)
        return scores.softmax(dim=-1)


class TransformerBlock(nn.Module):
    """Transformer block: self-attention, then a feed-forward net.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of attention heads.
        ffn_ratio (float): Hidden width of the feed-forward net over
            ``embed_dims``. Defaults to 4.
        qkv_bias (bool): Whether query, key and value have a bias.
            Defaults to False.
        drop_rate (float): Dropout after every projection. Defaults to 0.
        drop_path_rate (float): Probability that a residual branch is dropped,
            drawn for each of the B sequences. Defaults to 0.
        with_se (bool): Whether the output of the feed-forward net is added to
            its squeeze-and-excitation (TNT, Table 12). Defaults to False.
        norm_first (bool): Whether the norms stand before the branches, as in
            ViT, or behind the sums, as in BERT. Defaults to True.
        norm_cfg (dict, optional): Config of the norms. Defaults to
            ``dict(type='LN')``.
        act_cfg (dict, optional): Config of the activation. Defaults to
            ``dict(type='GELU')``.
        attn (type): Class of the attention. Defaults to ``SelfAttention``.
    """

    def __init__(self,
                 embed_dims: int,
                 num_heads: int,
                 ffn_ratio: float = 4.,
                 qkv_bias: bool = False,
                 drop_rate: float = 0.,
                 drop_path_rate: float = 0.,
                 with_se: bool = False,
                 norm_first: bool = True,
                 norm_cfg: Optional[dict] = None,
                 act_cfg: Optional[dict] = None,
                 attn: Type[SelfAttention] = SelfAttention) -> None:
        super().__init__()
        norm_cfg = norm_cfg or dict(type='LN')
        self.norm_first = norm_first
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = attn(embed_dims, num_heads, qkv_bias, drop_rate)
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = FFN(
            embed_dims,
            int(embed_dims * ffn_ratio),
            act_cfg=act_cfg or dict(type='GELU'),
            ffn_drop=drop_rate,
            add_identity=False)
        self.se = SqueezeExcitation(embed_dims) if with_se else None
        self.drop_path = DropPath(drop_path_rate)

    def _add(self, x: torch.Tensor, norm: nn.Module, branch: Callable,
             *args) -> torch.Tensor:
        """Add a branch to the tokens of its input that it returns, with the
        norm at its place."""
        update = self.drop_path(
            branch(norm(x) if self.norm_first else x, *args))
        x = x[:, :update.shape[1]] + update
        return x if self.norm_first else norm(x)

    def _feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        update = self.ffn(x)
        return update if self.se is None else update + self.se(update)

    def forward(self,
                x: torch.Tensor,
                mask: Optional[torch.Tensor] = None,
                num_queries: Optional[int] = None) -> torch.Tensor:
        """Update the first ``num_queries`` tokens of each sequence, or all,
        and return them, (B, N, D) to (B, num_queries, D)."""
        x = self._add(x, self.norm1, self.attn, mask, num_queries)
        return self._add(x, self.norm2, self._feed_forward)


class CrossAttentionBlock(TransformerBlock):
    """Self-attention, attention to another sequence, then a feed-forward net.

    Args:
        embed_dims (int): Channels D of the tokens of both sequences.
        num_heads (int): Number of attention heads.
        **kwargs: See ``TransformerBlock``.
    """

    def __init__(self, embed_dims: int, num_heads: int, **kwargs) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.norm_cross = build_norm_layer(
            kwargs.get('norm_cfg') or dict(type='LN'), embed_dims)[1]
        self.cross_attn = CrossAttention(
            embed_dims, num_heads, drop_rate=kwargs.get('drop_rate', 0.))

    def forward(self,
                x: torch.Tensor,
                memory: torch.Tensor,
                mask: Optional[torch.Tensor] = None,
                memory_mask: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Update the tokens x (B, N, D) from themselves and from memory (B, S,
        D); (B, N, D)."""
        x = self._add(x, self.norm1, self.attn, mask)
        x = self._add(x, self.norm_cross, self.cross_attn, memory, memory_mask)
        return self._add(x, self.norm2, self._feed_forward)


def _check_heads(embed_dims: int, num_heads: int) -> None:
    if embed_dims % num_heads:
        raise ValueError(
            f'embed_dims={embed_dims} cannot be shared among '
            f'num_heads={num_heads}: choose a number of heads that '
            f'divides {embed_dims}.')


def _for_keys(mask: Optional[torch.Tensor]) -> Optional[torch.Tensor]:
    """A mask of tokens (B, S) as one of keys, (B, 1, 1, S)."""
    return None if mask is None else mask[:, None, None]
