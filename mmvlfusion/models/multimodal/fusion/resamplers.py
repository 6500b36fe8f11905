"""Resamplers: a fixed number of tokens from a sequence of any length.

Notation of shapes:

    ====  ====================================
    B     batch size
    S     tokens of the input sequence
    N     tokens of the output
    D     channels of a token
    ====  ====================================
"""

from typing import Optional

import torch
import torch.nn as nn

from ...layers import CrossAttention


class LatentResampler(nn.Module):
    """Cross-attention from learned latents to a sequence (JAR, Eq. 2).

    Args:
        embed_dims (int): Channels D of the tokens.
        num_tokens (int): Number N of latents.
        num_heads (int): Number of attention heads.
        latent_std (float): Standard deviation of the initial latents. A larger
            value makes the initial attention more peaked: of ten tokens, a
            head effectively attends to seven with 1, to two with 4. Defaults
            to 1.
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
        """Resample a sequence.

        Args:
            x (torch.Tensor): Shape (B, S, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, S).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        latents = self.latents.expand(x.shape[0], -1, -1)
        return self.proj(self.attn(latents, x, mask))

    def attention_map(
        self, x: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Compute the attention weights of ``forward``, averaged over heads.

        Args:
            x (torch.Tensor): Shape (B, S, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, S).
                Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, S); each row sums to one.
        """
        latents = self.latents.expand(x.shape[0], -1, -1)
        return self.attn.attention_map(latents, x, mask).mean(dim=1)


class SpatialResampler(nn.Module):
    """Weighted means over the positions of a sequence, with learned weights.

    It is TokenLearner (arXiv 2106.11297), version 1.1 of the authors' code. The
    weights are predicted from the tokens and, optionally, a condition. The
    condition serves iterative co-tokenization (arXiv 2208.00934), whose form is
    not published.

    Args:
        embed_dims (int): Channels D of the tokens.
        num_tokens (int): Number N of means.
        hidden_dims (int): Hidden width of the network that predicts the
            weights. Defaults to 64.
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
        """Resample a sequence.

        Args:
            x (torch.Tensor): Shape (B, S, D).
            mask (torch.Tensor, optional): True at valid tokens, (B, S).
                Defaults to None, all.
            condition (torch.Tensor, optional): Shape (B, D). Required if
                ``conditioned``.

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        return self.attention_map(x, mask, condition) @ x

    def attention_map(
        self,
        x: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        condition: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Compute the weights of the means.

        Args:
            x (torch.Tensor): See ``forward``.
            mask (torch.Tensor, optional): See ``forward``.
            condition (torch.Tensor, optional): See ``forward``.

        Returns:
            torch.Tensor: Shape (B, N, S); each row sums to one.
        """
        hidden = self.hidden(self.norm(x))
        if self.condition is not None:
            hidden = hidden + self.condition(condition)[:, None]
        weights = self.weights(self.act(hidden))
        if mask is not None:
            weights = weights.masked_fill(~mask[..., None], -torch.inf)
        # (B, S, N) -> (B, N, S)
        return weights.softmax(dim=1).mT
