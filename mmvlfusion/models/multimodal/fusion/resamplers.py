"""From many tokens to few: by learned queries, or by learned regions."""

from typing import Optional

import torch
import torch.nn as nn

from ...layers import CrossAttention


class LatentResampler(nn.Module):
    """Learned latents attend to the tokens of a sequence (JAR, Eq. 2).

    Args:
        embed_dims (int): Channels D of the tokens.
        num_tokens (int): Number N of latents.
        num_heads (int): Attention heads.
        latent_std (float): Spread of the initial latents. At 1 a head starts
            by reading seven of ten tokens, at 4 two. Defaults to 1.
    """

    def __init__(
        self, embed_dims: int, num_tokens: int, num_heads: int, latent_std: float = 1.0
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, num_tokens, embed_dims))
        nn.init.normal_(self.latents, std=latent_std)
        self.attn = CrossAttention(embed_dims, num_heads)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """From (B, S, D), of which mask (B, S) is real, to (B, N, D)."""
        latents = self.latents.expand(len(x), -1, -1)
        return self.proj(self.attn(latents, x, mask))

    def attention_map(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """What each latent reads, (B, N, S), the mean of its heads; rows of
        sum one."""
        latents = self.latents.expand(len(x), -1, -1)
        return self.attn.attention_map(latents, x, mask).mean(dim=1)


class SpatialResampler(nn.Module):
    """Weighted means over the positions of a sequence, whose weights are
    learned from its tokens and, if given, a condition.

    It is TokenLearner (arXiv 2106.11297) in version 1.1 of its authors'
    code; the condition is added within, for iterative co-tokenization
    (arXiv 2208.00934), whose own form is not published.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_tokens (int): Number N of means.
        hidden_dims (int): Width of the net of the weights. Defaults to 64.
        conditioned (bool): Whether ``forward`` takes a condition. Defaults
            to False.
    """

    def __init__(
        self,
        embed_dims: int,
        num_tokens: int,
        hidden_dims: int = 64,
        conditioned: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims)
        self.hidden = nn.Linear(embed_dims, hidden_dims)
        self.condition = (
            nn.Linear(embed_dims, hidden_dims, bias=False) if conditioned else None
        )
        self.act = nn.GELU()
        self.weights = nn.Linear(hidden_dims, num_tokens)

    def forward(
        self,
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        condition: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """From (B, S, D), of which mask (B, S) is real, to (B, N, D); the
        condition is (B, D)."""
        return self.attention_map(x, mask, condition) @ x

    def attention_map(
        self,
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        condition: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """The weights of each mean, (B, N, S), rows of sum one."""
        hidden = self.hidden(self.norm(x))
        if self.condition is not None:
            hidden = hidden + self.condition(condition)[:, None]
        weights = self.weights(self.act(hidden))
        if mask is not None:
            weights = weights.masked_fill(~mask[..., None], -torch.inf)
        return weights.softmax(dim=1).mT
