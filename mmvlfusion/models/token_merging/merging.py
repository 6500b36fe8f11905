"""The state of token merging that the blocks of a model share."""

from typing import Dict, List, Optional

import torch
import torch.nn.functional as F

from .matching import match_tokens


class TokenMerging:
    """Merges tokens in the blocks of one model.

    A token that represents s tokens has the size s. The sizes are stored by the
    index of the block, so that a block can be run again (gradient
    checkpointing).

    Args:
        numbers (list[int]): Tokens to be merged in each block. A block merges at
            most half of its tokens.
        num_prefix_tokens (int): See ``Matching``.
        prop_attn (bool): Whether the size of a token multiplies its weight in
            the attention (Section 3, "Tracking Token Size").
        trace (bool): Whether the sources of the tokens are stored.
    """

    def __init__(
        self,
        numbers: List[int],
        num_prefix_tokens: int,
        prop_attn: bool,
        trace: bool,
    ) -> None:
        self.numbers = numbers
        self.num_prefix_tokens = num_prefix_tokens
        self.prop_attn = prop_attn
        self.trace = trace
        self._metric: Optional[torch.Tensor] = None
        # Before block i, or None as long as no token is merged.
        self._sizes: Dict[int, Optional[torch.Tensor]] = {0: None}
        self._sources: Dict[int, Optional[torch.Tensor]] = {0: None}
        self._last = 0

    @property
    def sizes(self) -> Optional[torch.Tensor]:
        """torch.Tensor | None: Sizes of the tokens after the last block that ran, (B,
        N, 1), or None if all are one."""
        return self._sizes[self._last]

    @property
    def sources(self) -> Optional[torch.Tensor]:
        """torch.Tensor | None: Whether each token after the last block that ran
        contains each token before the first block, (B, N, tokens)."""
        return self._sources[self._last]

    def attend(
        self,
        block: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        dropout: float = 0.0,
    ) -> torch.Tensor:
        """Compute the attention, and store the keys for ``merge``.

        Args:
            block (int): Index of the block.
            q, k, v (torch.Tensor): Query, key and value, (B, heads, N, D / heads)
                each.
            dropout (float): Dropout rate of the attention weights. Defaults to 0.

        Returns:
            torch.Tensor: Shape (B, heads, N, D / heads).
        """
        sizes = self._sizes[block]
        bias = None
        if sizes is not None and self.prop_attn:
            bias = sizes.log().to(q.dtype)[:, None, None, :, 0]
        if self.numbers[block]:
            self._metric = k.detach().mean(dim=1)
        return F.scaled_dot_product_attention(q, k, v, bias, dropout)

    def merge(self, block: int, x: torch.Tensor) -> torch.Tensor:
        """Merge the most similar tokens to their mean, weighted by size.

        Args:
            block (int): Index of the block.
            x (torch.Tensor): Tokens after the attention, (B, N, D).

        Returns:
            torch.Tensor: Shape (B, N - r, D).
        """
        sizes, sources = self._sizes[block], self._sources[block]
        metric, self._metric = self._metric, None
        r = min(self.numbers[block], (x.shape[1] - self.num_prefix_tokens) // 2)
        if r > 0:
            matching = match_tokens(metric, r, self.num_prefix_tokens)
            # Half precision does not represent all numbers of tokens.
            dtype = torch.promote_types(x.dtype, torch.float32)
            if sizes is None:
                sizes = x.new_ones(*x.shape[:2], 1, dtype=dtype)
            if self.trace:
                if sources is None:
                    sources = torch.eye(x.shape[1], device=x.device)
                    sources = sources.expand(len(x), -1, -1)
                sources = matching.sum(sources)
            total = matching.sum(x * sizes)
            sizes = matching.sum(sizes)
            x = (total / sizes).to(x.dtype)
        self._last = block + 1
        self._sizes[self._last], self._sources[self._last] = sizes, sources
        return x
