"""Q-Former: queries that read the question and the image."""

from typing import Any, Optional

import torch
import torch.nn as nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number, require

from ..fusion import mask_or_ones
from .base import TokenReducer


@MODELS.register_module()
class QFormerReducer(TokenReducer):
    """The Q-Former of InstructBLIP (arXiv 2305.06500, Section 2.3): learned
    queries attend to the question in every layer, and to the image in every
    second one.

    The network is ``InstructBlipQFormerModel`` of the library transformers.

    Args:
        in_channels (int): Channels C of the feature map.
        num_tokens (int): Number N of queries.
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer. The
            enclosing model sets it.
        config (dict): Arguments of ``InstructBlipQFormerConfig``, such as
            ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads`` and
            ``intermediate_size``. The vocabulary is that of the tokenizer.
            Defaults to no arguments: BERT-base with 12 layers.

    Raises:
        ValueError: If ``num_tokens`` is below 1, or ``config`` sets what the
            model sets.
    """

    reads_text = True

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        tokenizer: Any,
        config: dict = dict(),
    ) -> None:
        transformers = require('transformers')
        check_number('num_tokens', num_tokens, 1, integer=True)
        reserved = sorted({'encoder_hidden_size', 'vocab_size'} & set(config))
        if reserved:
            raise ValueError(
                f'config sets {reserved}, which in_channels and the tokenizer '
                'determine: remove them.'
            )
        full_config = transformers.InstructBlipQFormerConfig(
            **config,
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            encoder_hidden_size=in_channels,
        )
        # transformers initialises the network.
        super().__init__(in_channels, full_config.hidden_size, init_cfg=None)
        self.queries = nn.Parameter(torch.empty(1, num_tokens, full_config.hidden_size))
        nn.init.normal_(self.queries, std=full_config.initializer_range)
        self.network = transformers.InstructBlipQFormerModel(full_config)

    def forward(
        self,
        image: torch.Tensor,
        ids: torch.Tensor,
        image_mask: Optional[torch.Tensor] = None,
        text_mask: Optional[torch.Tensor] = None,
    ) -> torch.Tensor:
        """Reduce image tokens with the texts that they are read for.

        Args:
            image (torch.Tensor): Tokens with positions, (B, M, C).
            ids (torch.Tensor): Token ids of the texts, (B, L).
            image_mask (torch.Tensor, optional): True at valid image tokens,
                (B, M). Defaults to None, all.
            text_mask (torch.Tensor, optional): True at valid text tokens, (B,
                L). Defaults to None, all.

        Returns:
            torch.Tensor: Shape (B, N, E).
        """
        queries = self.queries.expand(len(image), -1, -1)
        # The queries and the text attend to each other.
        valid = (
            torch.ones_like(ids, dtype=torch.bool) if text_mask is None else text_mask
        )
        valid = torch.cat([valid.new_ones(queries.shape[:2]), valid], dim=1)
        out = self.network(
            input_ids=ids,
            attention_mask=valid.long(),
            query_embeds=queries,
            encoder_hidden_states=image,
            encoder_attention_mask=mask_or_ones(image, image_mask).long(),
        ).last_hidden_state
        return out[:, : queries.shape[1]]
