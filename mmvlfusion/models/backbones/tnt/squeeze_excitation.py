"""Squeeze-and-excitation over tokens."""

import torch
import torch.nn as nn


class SqueezeExcitation(nn.Module):
    """Scale the channels of a sequence by a gate computed from its mean.

    The gate is the one of TNT (arXiv 2103.00112, appendix A.2): a norm, two
    linear layers and a tanh, so that a channel's sign can change.

    Args:
        embed_dims (int): Channels D of the tokens.
        ratio (float): Hidden width of the gate over ``embed_dims``.
            Defaults to 0.25.
    """

    def __init__(self, embed_dims: int, ratio: float = 0.25) -> None:
        super().__init__()
        hidden = int(embed_dims * ratio)
        self.gate = nn.Sequential(
            nn.LayerNorm(embed_dims),
            nn.Linear(embed_dims, hidden),
            nn.ReLU(),
            nn.Linear(hidden, embed_dims),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate tokens of shape (B, N, D)."""
        return x * self.gate(x.mean(dim=1, keepdim=True))
