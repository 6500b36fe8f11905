"""Squeeze-and-excitation over tokens."""

import torch
import torch.nn as nn


class SqueezeExcitation(nn.Module):
    """Scaling of the channels by a gate computed from the mean token.

    The gate is that of TNT (arXiv 2103.00112, appendix A.2): a norm, two linear
    layers and a tanh, which can change the sign of a channel.

    Args:
        embed_dims (int): Channels D of the tokens.
        ratio (float): Ratio of the hidden width of the gate to ``embed_dims``.
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
        """Scale the channels of a sequence.

        Args:
            x (torch.Tensor): Tokens, (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N, D).
        """
        return x * self.gate(x.mean(dim=1, keepdim=True))
