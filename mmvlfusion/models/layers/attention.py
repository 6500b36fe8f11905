"""Self- and cross-attention, and the transformer blocks of both.

Masks are boolean, (B, tokens), True at valid tokens; each sequence needs at
least one.

Notation of shapes:

    ====  =============================================
    B     batch size
    N     tokens of a sequence
    S     tokens of the sequence that is attended to
    D     channels of a token
    C     channels of a token of the other sequence
    ====  =============================================
"""

from typing import Callable, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN

# Query, key and value.
Projections = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SelfAttention(nn.Module):
    """Multi-head self-attention with a fused query, key and value projection.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
        qkv_bias (bool): Whether query, key and value have a bias.
            Defaults to False.
        drop_rate (float): Dropout after the output projection. Defaults to 0.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        _check_heads(embed_dims, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def _project(self, x: torch.Tensor) -> Projections:
        """Query, key and value, each (B, heads, N, D / heads)."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        # (B, N, 3, heads, D / heads) -> three times (B, heads, N, D / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def forward(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Attend from all tokens of each sequence to all of them.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, N).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        q, k, v = self._project(x)
        x = self._mix(q, k, v, mask_of_keys(mask))
        return self.drop(self.proj(x))

    def _mix(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: Optional[torch.Tensor],
    ) -> torch.Tensor:
        """Attention output (B, queries, D), from (B, heads, tokens, D / heads)
        each."""
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x.transpose(1, 2).flatten(2)

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the attention weights of ``forward``.

        Args:
            x (torch.Tensor): Shape (B, N, D).

        Returns:
            torch.Tensor: Shape (B, heads, N, N); each row, of one query, sums
            to one.
        """
        q, k, _ = self._project(x)
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of heads. It must divide ``embed_dims``.
        memory_dims (int, optional): Channels of the other sequence. Defaults
            to ``embed_dims``.
        drop_rate (float): Dropout after the output projection. Defaults to 0.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        memory_dims: Optional[int] = None,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        _check_heads(embed_dims, num_heads)
        self.num_heads = num_heads
        self.q = nn.Linear(embed_dims, embed_dims)
        self.kv = nn.Linear(memory_dims or embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def _project(self, x: torch.Tensor, memory: torch.Tensor) -> Projections:
        """Query, key and value, each (B, heads, tokens, D / heads)."""
        q = self.q(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        kv = self.kv(memory).unflatten(2, (2, self.num_heads, -1))
        # (B, S, 2, heads, D / heads) -> twice (B, heads, S, D / heads)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Attend to another sequence.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            memory (torch.Tensor): The other sequence, (B, S, C).
            mask (torch.Tensor, optional): True at valid tokens of ``memory``,
                (B, S). Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        q, k, v = self._project(x, memory)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_of_keys(mask))
        return self.drop(self.proj(x.transpose(1, 2).flatten(2)))

    def attention_map(
        self, x: torch.Tensor, memory: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Compute the attention weights of ``forward``.

        Args:
            x, memory, mask: See ``forward``.

        Returns:
            torch.Tensor: Shape (B, heads, N, S); each row sums to one.
        """
        q, k, _ = self._project(x, memory)
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        return scores.softmax(dim=-1)


class TransformerBlock(nn.Module):
    """Transformer block: self-attention and a feed-forward network.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_heads (int): Number of attention heads.
        ffn_ratio (float): Ratio of the hidden width of the feed-forward
            network to ``embed_dims``. Defaults to 4.
        qkv_bias (bool): Whether query, key and value have a bias.
            Defaults to False.
        drop_rate (float): Dropout after every projection. Defaults to 0.
        drop_path_rate (float): Stochastic depth rate of both residual
            branches. Defaults to 0.
        se (nn.Module, optional): Module whose output is added to that of the
            feed-forward network, such as squeeze-and-excitation. Defaults to
            None.
        norm_first (bool): Whether the block is pre-norm, as in ViT, or
            post-norm, as in BERT. Defaults to True.
        norm_cfg (dict, optional): Config of the norm layers. Defaults to
            ``dict(type='LN')``.
        act_cfg (dict, optional): Config of the activation. Defaults to
            ``dict(type='GELU')``.
        attn (Callable): Class of the attention. Defaults to
            ``SelfAttention``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        ffn_ratio: float = 4.0,
        qkv_bias: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        se: Optional[nn.Module] = None,
        norm_first: bool = True,
        norm_cfg: Optional[dict] = None,
        act_cfg: Optional[dict] = None,
        attn: Callable[..., nn.Module] = SelfAttention,
    ) -> None:
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
            add_identity=False,
        )
        self.se = se
        self.drop_path = DropPath(drop_path_rate)

    def _add(
        self, x: torch.Tensor, norm: nn.Module, branch: Callable, *args
    ) -> torch.Tensor:
        """Apply a residual branch, pre-norm or post-norm."""
        if self.norm_first:
            return x + self.drop_path(branch(norm(x), *args))
        return norm(x + self.drop_path(branch(x, *args)))

    def _feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        update = self.ffn(x)
        return update if self.se is None else update + self.se(update)

    def forward(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Update the tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, N).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        x = self._add(x, self.norm1, self.attn, mask)
        return self._add(x, self.norm2, self._feed_forward)


class CrossAttentionBlock(TransformerBlock):
    """Self-attention, cross-attention and a feed-forward network.

    Args:
        embed_dims (int): Channels D of the tokens of both sequences.
        num_heads (int): Number of attention heads.
        **kwargs: See ``TransformerBlock``.
    """

    def __init__(self, embed_dims: int, num_heads: int, **kwargs) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.norm_cross = build_norm_layer(
            kwargs.get('norm_cfg') or dict(type='LN'), embed_dims
        )[1]
        self.cross_attn = CrossAttention(
            embed_dims, num_heads, drop_rate=kwargs.get('drop_rate', 0.0)
        )

    def forward(  # type: ignore[override]  # It reads a second sequence.
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        memory_mask: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Update the tokens.

        Args:
            x (torch.Tensor): Shape (B, N, D).
            memory (torch.Tensor): The other sequence, (B, S, D).
            mask (torch.Tensor, optional): True at valid tokens of ``x``,
                (B, N). Defaults to None, all.
            memory_mask (torch.Tensor, optional): True at valid tokens of
                ``memory``, (B, S). Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        x = self._add(x, self.norm1, self.attn, mask)
        x = self._add(x, self.norm_cross, self.cross_attn, memory, memory_mask)
        return self._add(x, self.norm2, self._feed_forward)


def _check_heads(embed_dims: int, num_heads: int) -> None:
    if embed_dims % num_heads:
        raise ValueError(
            f'embed_dims={embed_dims} is not divisible by '
            f'num_heads={num_heads}: choose a number of heads that '
            f'divides {embed_dims}.'
        )


def mask_of_keys(mask: Optional[torch.Tensor]) -> Optional[torch.Tensor]:
    """Reshape a mask of tokens to one of attention scores.

    Args:
        mask (torch.Tensor, optional): Mask of the keys' tokens, (B, S).

    Returns:
        torch.Tensor | None: Shape (B, 1, 1, S), or None if there is no mask.
    """
    return None if mask is None else mask[:, None, None]
