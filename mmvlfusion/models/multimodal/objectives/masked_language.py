"""Masked language modelling with the image."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from .base import ImageTextPairs, Objective, mean_over_ranks


@MODELS.register_module()
class MaskedLanguageObjective(Objective):
    """Guess hidden tokens of a caption from the others and the image (ALBEF,
    arXiv 2107.07651, equations 3 and 7).

    Of the chosen tokens 80 % are masked, 10 % are replaced by random ones, and
    10 % stay. The momentum model's guess over the vocabulary softens the
    targets.

    Args:
        ratio (float): Share of the tokens that are chosen. Defaults to 0.15.
        alpha (float): Share of the momentum model's guess in the targets;
            mmpretrain's ``WarmupParamHook`` can raise it from 0. Defaults to
            0.4.
        **kwargs: See ``Objective``.

    Raises:
        ValueError: If the tokenizer has no token for the mask.
    """

    streams = ('text',)
    uses_ema = True

    def __init__(self, ratio: float = 0.15, alpha: float = 0.4, **kwargs) -> None:
        super().__init__(**kwargs)
        library = require('transformers')
        self.collator = library.DataCollatorForLanguageModeling(
            self.tokenizer, mlm_probability=ratio
        )
        self.head = library.models.bert.modeling_bert.BertLMPredictionHead(
            library.BertConfig(
                vocab_size=len(self.tokenizer), hidden_size=self.embed_dims
            )
        )
        self.alpha = alpha

    def sample_mask(self, pairs: ImageTextPairs) -> Tuple[torch.Tensor, torch.Tensor]:
        """The tokens with some of them hidden, and what these were, -100 where
        none is asked for, (B, L) each."""
        hidden, targets = self.collator.torch_mask_tokens(pairs.ids.cpu().clone())
        return hidden.to(pairs.ids.device), targets.to(pairs.ids.device)

    def logits(
        self,
        model: nn.Module,
        pairs: ImageTextPairs,
        ids: torch.Tensor,
        chosen: torch.Tensor,
    ) -> torch.Tensor:
        """Logits over the vocabulary of the ``chosen`` tokens, a mask (B, L),
        from tokens with some of them hidden, (B, L)."""
        text = model.text_encoder(ids, pairs.text_mask)
        fused = model.fusion.fuse(text, pairs.image, pairs.text_mask, pairs.image_mask)
        return self.head(fused.text[chosen])

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective``."""
        ids, targets = self.sample_mask(pairs)
        chosen = targets != -100
        logits = self.logits(model, pairs, ids, chosen)
        with torch.no_grad():
            soft = model.ema_model.module.objectives[self.name].logits(
                model.ema_model.module, pairs.ema, ids, chosen
            )
        one_hot = F.one_hot(targets[chosen], logits.shape[1])
        mixed = self.alpha * soft.softmax(1) + (1 - self.alpha) * one_hot
        loss = F.cross_entropy(logits, mixed, reduction='sum')
        return mean_over_ranks(loss, chosen.sum())
