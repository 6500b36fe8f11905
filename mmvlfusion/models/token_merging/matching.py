"""Matching of similar tokens (ToMe, arXiv 2210.09461, Section 3).

Notation of shapes:

    ====  =============================================
    B     batch size
    N     tokens before merging
    r     tokens that are merged
    D     channels of a token
    ====  =============================================
"""

from typing import NamedTuple

import torch


class Matching(NamedTuple):
    """Which tokens are merged into which.

    The tokens with even index form the set A, those with odd index the set B.

    Attributes:
        kept (torch.Tensor): Indices in A of the tokens that stay, (B, ceil(N / 2) - r).
        merged (torch.Tensor): Indices in A of the tokens that are merged, (B, r).
        targets (torch.Tensor): Indices in B of the tokens that they are merged
            into, (B, r).
        num_prefix_tokens (int): 2 if the tokens start with a class token and a
            distillation token, 1 with a class token, otherwise 0.
    """

    kept: torch.Tensor
    merged: torch.Tensor
    targets: torch.Tensor
    num_prefix_tokens: int

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        """Add the values of merged tokens to those of their targets.

        Args:
            x (torch.Tensor): Values of the tokens, (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N - r, D), the kept tokens of A and then B.
            Class and distillation token stay first.
        """
        a, b = x[:, ::2], x[:, 1::2]
        kept = a.gather(1, _expand(self.kept, x))
        b = b.scatter_add(
            1, _expand(self.targets, x), a.gather(1, _expand(self.merged, x))
        )
        if self.num_prefix_tokens == 2:
            # The distillation token is the first one of B.
            return torch.cat([kept[:, :1], b[:, :1], kept[:, 1:], b[:, 1:]], dim=1)
        return torch.cat([kept, b], dim=1)


def _expand(index: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Repeat the index of a token for all of its channels."""
    return index[:, :, None].expand(-1, -1, x.shape[2])


@torch.no_grad()
def match_tokens(metric: torch.Tensor, r: int, num_prefix_tokens: int) -> Matching:
    """Match each token of A with the most similar one of B, and keep the r best pairs.

    Class and distillation token are not merged.

    Args:
        metric (torch.Tensor): Features whose cosine similarity is compared, (B,
            N, D).
        r (int): Number of pairs, at most (N - ``num_prefix_tokens``) // 2.
        num_prefix_tokens (int): See ``Matching``.

    Returns:
        Matching: The pairs.
    """
    metric = metric / metric.norm(dim=2, keepdim=True)
    scores = metric[:, ::2] @ metric[:, 1::2].mT
    if num_prefix_tokens >= 1:
        scores[:, 0] = -torch.inf
    if num_prefix_tokens == 2:
        scores[:, :, 0] = -torch.inf
    best, targets = scores.max(dim=2)
    order = best.argsort(dim=1, descending=True)
    merged, kept = order[:, :r], order[:, r:]
    if num_prefix_tokens:
        # The class token must stay first.
        kept = kept.sort(dim=1).values
    return Matching(kept, merged, targets.gather(1, merged), num_prefix_tokens)
