"""Masked language modelling conditioned on the image."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number, require

from ..tokenizers import local_or_hub
from .base import ImageTextPairs, Objective, mean_over_ranks

# Target of the tokens that are not predicted, as transformers sets it.
IGNORE_INDEX = -100


@MODELS.register_module()
class MaskedLanguageObjective(Objective):
    """Predict masked caption tokens from the other tokens and the image.

    It follows ALBEF (arXiv 2107.07651, Eq. 3 and 7). Of the selected tokens,
    80 % are masked, 10 % are replaced by random ones, and 10 % are unchanged.
    The predicted distribution of the EMA model softens the targets.

    Args:
        ratio (float): Ratio of the tokens that are selected. Defaults to 0.15.
        alpha (float): Weight of the EMA model's prediction in the targets.
            mmpretrain's ``WarmupParamHook`` can increase it from 0. Defaults
            to 0.4.
        share_embeddings (bool): Whether the output layer shares its weight with
            the word embeddings of the text encoder, as in BERT and ALBEF.
            Defaults to False.
        pretrained (str, optional): Local folder or name on the hub of a masked
            language model. The weights of its head are loaded when the model
            is initialised. Defaults to None, random weights.
        **kwargs: See ``Objective``.

    Raises:
        ValueError: If the tokenizer has no mask token.
    """

    streams = ('text',)
    uses_ema = True

    def __init__(
        self,
        ratio: float = 0.15,
        alpha: float = 0.4,
        share_embeddings: bool = False,
        pretrained: Optional[str] = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_number('ratio', ratio, 0, 1, above=True)
        check_number('alpha', alpha, 0, 1)
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
        self.share_embeddings = share_embeddings
        self.pretrained = pretrained

    def connect(self, model: nn.Module) -> None:
        """See ``Objective.connect``.

        Raises:
            ValueError: If the embeddings have another shape.
        """
        if not self.share_embeddings:
            return
        words = model.text_encoder.encoder.get_input_embeddings().weight
        if words.shape != self.head.decoder.weight.shape:
            raise ValueError(
                f'The word embeddings of the text encoder are {tuple(words.shape)}, '
                'but the head needs (words of the tokenizer, embed_dims of the '
                f'fusion) = {tuple(self.head.decoder.weight.shape)}: set vocab_size '
                'of the text encoder accordingly, or share_embeddings=False.'
            )
        self.head.decoder.weight = words

    def load_pretrained(self) -> None:
        """Load the pretrained head. Shared word embeddings keep their values."""
        if self.pretrained is None:
            return
        words = self.head.decoder.weight.detach().clone()
        loaded = require('transformers').AutoModelForMaskedLM.from_pretrained(
            local_or_hub(self.pretrained)
        )
        self.head.load_state_dict(loaded.cls.predictions.state_dict())
        if self.share_embeddings:
            with torch.no_grad():
                self.head.decoder.weight.copy_(words)

    def sample_mask(self, pairs: ImageTextPairs) -> Tuple[torch.Tensor, torch.Tensor]:
        """Mask random tokens of the captions.

        Args:
            pairs (ImageTextPairs): The batch.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: The masked token ids, and the
            original ids of the selected tokens with -100 elsewhere; (B, L)
            each.
        """
        # The collator works on the CPU and in place.
        masked, targets = self.collator.torch_mask_tokens(pairs.ids.cpu().clone())
        return masked.to(pairs.ids.device), targets.to(pairs.ids.device)

    def logits(
        self,
        model: nn.Module,
        pairs: ImageTextPairs,
        ids: torch.Tensor,
        chosen: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the logits of the selected tokens.

        Args:
            model (VisionLanguagePretraining): The model, or its EMA model.
            pairs (ImageTextPairs): The batch as encoded by that model.
            ids (torch.Tensor): Masked token ids, (B, L).
            chosen (torch.Tensor): True at the selected tokens, (B, L).

        Returns:
            torch.Tensor: Shape (selected tokens, vocabulary).
        """
        text = model.text_encoder(ids, pairs.text_mask)
        fused = model.fusion.fuse(text, pairs.image, pairs.text_mask, pairs.image_mask)
        return self.head(fused.text[chosen])

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``."""
        ids, targets = self.sample_mask(pairs)
        chosen = targets != IGNORE_INDEX
        logits = self.logits(model, pairs, ids, chosen)
        with torch.no_grad():
            ema_model = model.ema_model.module
            soft = ema_model.objectives[self.name].logits(
                ema_model, pairs.ema, ids, chosen
            )
        one_hot = F.one_hot(targets[chosen], logits.shape[1])
        mixed = self.alpha * soft.softmax(1) + (1 - self.alpha) * one_hot
        loss = F.cross_entropy(logits, mixed, reduction='sum')
        return mean_over_ranks(loss, chosen.sum())
