"""Generation head for answers, captions and other texts.

Notation of shapes:

    ====  ================================================
    B     samples of a batch
    L     tokens of a text, with start token, prompt and end token
    D     channels of a fused token
    ====  ================================================
"""

from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_number, require

from ..fusion import FusionOutput, select_rows
from ..tokenizers import (
    decode,
    language_config,
    token_lists,
    warn_of_changed_letters,
)
from .answers import load_answers
from .sample_fields import store_texts, weighted_texts

# Maximum number of answers that are scored at once; it limits the memory of
# ranking.
MAX_RANKED = 4096


@MODELS.register_module()
class TextGenerationHead(BaseModule):
    """A causal language model with cross-attention to the fused tokens.

    Lengths of texts count new tokens: neither the start token nor the prompt.

    Texts are generated as the tokenizer writes them: an uncased one gives lower
    case, and those of the hub, such as ``bert-base-uncased``, remove accents.
    Those of ``build_tokenizer.py`` keep accents. See ``decode`` for spaces.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer. The
            enclosing model sets it.
        decoder (str | dict): Config of a causal language model of the library
            transformers that supports cross-attention, such as
            ``model_type='bert'``. See ``language_config``.
        field (str): Name of the text. ``gt_{field}`` of a sample is the target
            and ``pred_{field}`` the prediction. Defaults to ``'answer'``.
        num_beams (int): Beams of the beam search; 1 is greedy decoding.
            Defaults to 1.
        max_length (int): Maximum number of new tokens of a generated text, with
            the end token. Defaults to 11.
        min_length (int): Minimum number of new tokens before the end token of a
            generated text. With 0 a text may be empty. Defaults to 0.
        max_target_length (int, optional): Maximum number of new tokens, with
            the end token, of a text to train on and of one of ``answers``.
            Longer ones are truncated, with a warning. Defaults to None,
            ``max_length``.
        length_penalty (float): In beam search, the log-probability of a text of
            n new tokens is divided by n to this power. Higher values favour
            longer texts. Defaults to 1.
        prompt (str): Words that every text starts with. They are given to the
            decoder, excluded from the loss and not returned. Defaults to
            ``''``.
        answers (str | Sequence[str], optional): A list of answers, see
            ``load_answers``. The most probable one is predicted instead of a
            generated text. Defaults to None.
        num_candidates (int): With ``answers``, number of answers that are
            scored completely. They are preselected by the probability of their
            first token, as in ALBEF. Defaults to 128.
        count_first_token_twice (bool): With ``answers``, whether the order of
            the candidates counts the log-probability of their first token
            twice, as the released code of ALBEF and mPLUG does. Defaults to
            False, the probability of the answer.
        alpha (float): Weight of the EMA model's prediction in the targets
            (ALBEF, Section 3.3). With a value above 0 the enclosing model needs
            an EMA model, see ``VisualQuestionAnswering``. mmpretrain's
            ``WarmupParamHook`` can increase it from 0. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None, that of the
            decoder.

    Raises:
        ValueError: If the decoder's vocabulary is smaller than the tokenizer's,
            the decoder has too few positions, a length is out of range, or the
            list of answers is empty or has duplicates.
    """

    def __init__(
        self,
        tokenizer: Any,
        decoder: Union[str, Dict[str, Any]],
        field: str = 'answer',
        num_beams: int = 1,
        max_length: int = 11,
        min_length: int = 0,
        max_target_length: Optional[int] = None,
        length_penalty: float = 1.0,
        prompt: str = '',
        answers: Union[str, Sequence[str], None] = None,
        num_candidates: int = 128,
        count_first_token_twice: bool = False,
        alpha: float = 0.0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        check_number('num_beams', num_beams, 1, integer=True)
        check_number('num_candidates', num_candidates, 1, integer=True)
        check_number('max_length', max_length, 1, integer=True)
        check_number('min_length', min_length, 0, max_length, integer=True)
        check_number('alpha', alpha, 0, 1)
        self.tokenizer = tokenizer
        self.start = _first(
            tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.pad_token_id
        )
        self.end = _first(tokenizer.eos_token_id, tokenizer.sep_token_id)
        self.decoder = require('transformers').AutoModelForCausalLM.from_config(
            language_config(
                decoder,
                tokenizer,
                is_decoder=True,
                add_cross_attention=True,
                bos_token_id=self.start,
                eos_token_id=self.end,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.field = field
        self.prompt = [
            self.start,
            *tokenizer(prompt, add_special_tokens=False)['input_ids'],
        ]
        self.num_beams = num_beams
        self.max_length = max_length
        self.min_length = min_length
        self.max_target_length = (
            max_length if max_target_length is None else max_target_length
        )
        self.length_penalty = length_penalty
        self._check_lengths()
        self.answers: Any = None if answers is None else load_answers(answers)
        self.num_candidates = num_candidates
        self.count_first_token_twice = count_first_token_twice
        self.alpha = alpha

    def _check_lengths(self) -> None:
        """Check that a word fits into a text and a text into the decoder."""
        if not 0 <= self.min_length <= self.max_length:
            raise ValueError(
                f'min_length={self.min_length} must be within 0 ... '
                f'{self.max_length}, the max_length.'
            )
        # The decoder does not read the last token.
        given = len(self.prompt) - 1
        limit = getattr(self.decoder.config, 'max_position_embeddings', None)
        for name in ('max_length', 'max_target_length'):
            value = getattr(self, name)
            if value < 2:
                raise ValueError(
                    f'{name}={value} leaves no room for a word and the end token: '
                    f'increase {name} to at least 2.'
                )
            if limit is not None and given + value > limit:
                raise ValueError(
                    f'A prompt of {given} tokens and {name}={value} new tokens '
                    f'need {given + value} positions, but the decoder has '
                    f'{limit}: reduce {name}, or increase '
                    'decoder.max_position_embeddings.'
                )

    def share_embeddings(self, embeddings: torch.nn.Embedding) -> None:
        """Use the embeddings of another module for input and output words.

        Args:
            embeddings (nn.Embedding): The embeddings, of shape (vocabulary,
                hidden size).

        Raises:
            ValueError: If their shape differs from that of the decoder.
        """
        own = self.decoder.get_input_embeddings()
        if own.weight.shape != embeddings.weight.shape:
            raise ValueError(
                'The embeddings of the decoder have the shape '
                f'{tuple(own.weight.shape)}, those of the text encoder '
                f'{tuple(embeddings.weight.shape)}: set vocab_size and '
                'hidden_size to equal values, or share_embeddings=False.'
            )
        self.decoder.set_input_embeddings(embeddings)
        self.decoder.tie_weights()

    def _memory(self, fused: FusionOutput) -> Dict[str, torch.Tensor]:
        """Arguments of the decoder for cross-attention to the fused tokens."""
        return dict(
            encoder_hidden_states=fused.tokens, encoder_attention_mask=fused.mask.long()
        )

    def encode(self, texts: List[str], device: torch.device) -> torch.Tensor:
        """Convert texts to token ids with prompt and end token.

        Texts that are too long are truncated, with a warning.

        Args:
            texts (list[str]): The B texts.
            device (torch.device): Device of the result.

        Returns:
            torch.Tensor: Padded token ids, (B, L).
        """
        lists = token_lists(
            self.tokenizer,
            texts,
            self.max_target_length - 1,
            add_special_tokens=False,
        )
        rows = [
            torch.tensor([*self.prompt, *ids, self.end], device=device) for ids in lists
        ]
        return torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=self.tokenizer.pad_token_id
        )

    def forward(self, fused: FusionOutput, ids: torch.Tensor) -> torch.Tensor:
        """Compute the log-probability of each text, given the prompt.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            ids (torch.Tensor): Token ids of their texts, (B, L).

        Returns:
            torch.Tensor: Shape (B).
        """
        # (B, L - 1, vocabulary) -> (B, L - 1)
        scores = self.token_scores(fused, ids).gather(2, ids[:, 1:, None])[..., 0]
        return (scores * self._target_mask(ids)).sum(dim=1)

    def token_scores(self, fused: FusionOutput, ids: torch.Tensor) -> torch.Tensor:
        """Compute the log-probabilities of all words at each place of a text.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            ids (torch.Tensor): Token ids of their texts, (B, L).

        Returns:
            torch.Tensor: Log-probabilities of the tokens after the first,
            (B, L - 1, vocabulary).
        """
        # Padding is at the end of a sequence, so causal attention to valid
        # tokens needs no mask.
        logits = self.decoder(
            ids[:, :-1], use_cache=False, **self._memory(fused)
        ).logits
        return logits.float().log_softmax(dim=-1)

    def _target_mask(self, ids: torch.Tensor) -> torch.Tensor:
        """True at the tokens to predict, without prompt and padding, (B, L - 1)."""
        mask = self.valid_mask(ids[:, 1:])
        # The targets start after the first token of the prompt.
        mask[:, : len(self.prompt) - 1] = False
        return mask

    def valid_mask(self, ids: torch.Tensor) -> torch.Tensor:
        """Compute the mask of the tokens up to the first end token.

        The end token may be the padding token.

        Args:
            ids (torch.Tensor): Token ids, (B, L).

        Returns:
            torch.Tensor: True up to and including the first end token, (B, L).
        """
        is_end = (ids == self.end).long()
        ends_before = is_end.cumsum(dim=1) - is_end
        return ends_before == 0

    def loss(
        self,
        fused: FusionOutput,
        data_samples: list,
        ema: Optional[Tuple['TextGenerationHead', FusionOutput]] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss: the negative log-likelihood of the texts.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples, with ``gt_{field}``
                and, optionally, ``gt_{field}_weight``. See ``weighted_texts``.
            ema (tuple[TextGenerationHead, FusionOutput], optional): The head of
                the EMA model and its fused tokens of the same samples. With it
                the targets are softened by ``alpha``. Defaults to None.

        Returns:
            dict[str, torch.Tensor]: ``loss_{field}``, the mean over samples of
            the weighted sum over their texts.
        """
        texts, weights, index = [], [], []
        for number, sample in enumerate(data_samples):
            for text, weight in weighted_texts(sample, self.field):
                texts.append(text)
                weights.append(weight)
                index.append(number)
        warn_of_changed_letters(self.tokenizer, texts)
        device = fused.tokens.device
        rows = None
        if len(index) > len(data_samples):
            rows = torch.tensor(index, device=device)
        fused = _select(fused, rows)
        ids = self.encode(texts, device)
        if ema is None:
            losses = -self(fused, ids)
        else:
            head, ema_fused = ema
            with torch.no_grad():
                soft = head.token_scores(_select(ema_fused, rows), ids).exp()
            losses = self._soft_losses(fused, ids, soft)
        loss = (losses * losses.new_tensor(weights)).sum() / len(data_samples)
        return {f'loss_{self.field}': loss}

    def _soft_losses(
        self, fused: FusionOutput, ids: torch.Tensor, soft: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy with softened targets, summed over the tokens, (B)."""
        scores = self.token_scores(fused, ids)
        hard = scores.gather(2, ids[:, 1:, None])[..., 0]
        mixed = self.alpha * (scores * soft).sum(dim=2) + (1 - self.alpha) * hard
        return -(mixed * self._target_mask(ids)).sum(dim=1)

    @property
    def in_channels(self) -> int:
        """int: Channels D of the fused tokens."""
        return self.decoder.config.hidden_size

    @torch.no_grad()
    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """Generate texts, or select them from the list of answers.

        Args:
            fused (FusionOutput): The fused tokens of B samples.
            data_samples (list[DataSample]): The samples.

        Returns:
            list[DataSample]: The samples with ``pred_{field}`` and its
            probability as ``pred_score``.
        """
        if self.answers is None:
            texts, scores = self._generate(fused)
        else:
            texts, scores = self._rank(fused)
        return store_texts(data_samples, self.field, texts, scores.exp().tolist())

    def _generate(self, fused: FusionOutput) -> Tuple[List[str], torch.Tensor]:
        """Generate texts; returns them and their log-probabilities, (B)."""
        prompt = torch.tensor(self.prompt, device=fused.tokens.device).expand(
            len(fused.tokens), -1
        )
        beam_options = {}
        if self.num_beams > 1:
            beam_options['length_penalty'] = self.length_penalty
        with_memory = partial(_add_memory, self._memory(fused))
        hook = self.decoder.register_forward_pre_hook(with_memory, with_kwargs=True)
        try:
            ids = self.decoder.generate(
                prompt,
                # The start token may be the padding token, as in T5, so the mask
                # cannot be derived from the ids.
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=self.max_length,
                min_new_tokens=self.min_length,
                num_beams=self.num_beams,
                do_sample=False,
                **_cache_of(self.decoder),
                **beam_options,
            )
        finally:
            hook.remove()
        words = decode(self.tokenizer, ids[:, len(self.prompt) :])
        return words, self(fused, ids)

    def _rank(self, fused: FusionOutput) -> Tuple[List[str], torch.Tensor]:
        """Select the most probable answers; returns them and their
        log-probabilities, (B)."""
        ids = self.encode(self.answers, fused.tokens.device)
        number = min(self.num_candidates, len(ids))
        length = len(self.prompt)
        prompt = ids[:1, :length].expand(len(fused.tokens), -1)
        # Logits of the first token after the prompt, (B, vocabulary).
        logits = self.decoder(prompt, use_cache=False, **self._memory(fused)).logits
        first = logits[:, -1]
        # Candidates by the logit of their first token, (B, number).
        candidates = first[:, ids[:, length]].topk(number).indices
        samples = torch.arange(len(candidates), device=ids.device)
        scores = []
        for chunk in samples.split(max(1, MAX_RANKED // number)):
            repeated = _select(fused, chunk.repeat_interleave(number))
            scores.append(self(repeated, ids[candidates[chunk].flatten()]))
        # (B * number) -> (B, number)
        scores = torch.cat(scores).unflatten(0, (-1, number))
        ranking = scores
        if self.count_first_token_twice:
            first = first.float().log_softmax(dim=1)
            ranking = scores + first.gather(1, ids[candidates, length])
        best = ranking.argmax(dim=1, keepdim=True)
        chosen = candidates.gather(1, best)[:, 0].tolist()
        return [self.answers[i] for i in chosen], scores.gather(1, best)[:, 0]


def _cache_of(decoder: nn.Module) -> Dict[str, Any]:
    """Make the cache argument of ``generate``.

    The default cache of a causal language model mixes the keys of self- and
    cross-attention. Models of older releases of transformers refuse a cache object;
    their default cache separates both.
    """
    if not getattr(decoder, '_supports_cache_class', True):
        return {}
    library = require('transformers')
    return dict(
        past_key_values=library.EncoderDecoderCache(
            library.DynamicCache(), library.DynamicCache()
        )
    )


def _add_memory(
    memory: Dict[str, torch.Tensor],
    decoder: nn.Module,
    args: Tuple[Any, ...],
    kwargs: Dict[str, Any],
) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """Add the memory of B samples to a call of the decoder, as a forward hook.

    ``generate`` of older releases of transformers drops it. The call has ``num_beams``
    rows for each sample.
    """
    for name, value in memory.items():
        num_beams = len(kwargs['input_ids']) // len(value)
        kwargs[name] = value.repeat_interleave(num_beams, dim=0)
    return args, kwargs


def _first(*tokens: Optional[int]) -> int:
    """The first token id that is not None."""
    return next(token for token in tokens if token is not None)


def _select(fused: FusionOutput, index: Optional[torch.Tensor]) -> FusionOutput:
    """Select samples by their indices, which may repeat; None selects all."""
    return FusionOutput(*select_rows(index, fused.tokens, fused.mask))
