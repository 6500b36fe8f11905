"""Answers, captions and other texts in words of the model's own."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import require

from ..fusion import FusionOutput
from ..tokenizers import language_config, token_lists
from .answers import load_answers
from .sample_fields import store_texts, weighted_texts

# Answers that are scored at once, which bounds the memory of ranking.
MAX_RANKED = 4096


@MODELS.register_module()
class TextGenerationHead(BaseModule):
    """A causal language model that attends to the fused tokens.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer; the
            model around the head sets it.
        decoder (str | dict): Config of a causal language model of the library
            transformers that knows cross-attention, such as ``model_type=
            'bert'``; see ``language_config``.
        field (str): What the text is: ``gt_{field}`` of a sample is learned and
            ``pred_{field}`` is written. Defaults to ``'answer'``.
        num_beams (int): Beams of the search; 1 is greedy. Defaults to 1.
        max_length (int): Tokens of a text, with those that begin and end it.
            Defaults to 12.
        min_length (int): The same at least. Defaults to 0.
        prompt (str): Words with which every text begins: they are given, and
            neither learned nor returned. Defaults to ``''``.
        answers (str | Sequence[str], optional): A list of answers, or a json
            file of one, of which the most probable is taken instead of words of
            the model's own. Defaults to None.
        num_candidates (int): With ``answers``, how many are scored in full, by
            the probability of their first token (ALBEF's way). Defaults to 128.
        init_cfg (dict, optional): Initialisation. Defaults to None, the
            decoder's own.

    Raises:
        ValueError: If the decoder's vocabulary is smaller than the tokenizer's,
            the prompt leaves no place for words, or the list of answers is
            empty or has duplicates.
    """

    def __init__(
        self,
        tokenizer: Any,
        decoder: Union[str, Dict[str, Any]],
        field: str = 'answer',
        num_beams: int = 1,
        max_length: int = 12,
        min_length: int = 0,
        prompt: str = '',
        answers: Union[str, Sequence[str], None] = None,
        num_candidates: int = 128,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
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
        if max_length < len(self.prompt) + 2:
            raise ValueError(
                f'max_length={max_length} leaves no word between '
                f'the prompt {prompt!r} and the end.'
            )
        self.num_beams = num_beams
        self.max_length = max_length
        self.min_length = min_length
        self.answers = None if answers is None else load_answers(answers)
        self.num_candidates = num_candidates

    def share_embeddings(self, embeddings: torch.nn.Embedding) -> None:
        """Read and write words by the embeddings of another module.

        Raises:
            ValueError: If they are of another size.
        """
        own = self.decoder.get_input_embeddings()
        if own.weight.shape != embeddings.weight.shape:
            raise ValueError(
                'The decoder has embeddings of the shape '
                f'{tuple(own.weight.shape)}, the text encoder '
                f'{tuple(embeddings.weight.shape)}: make vocab_size and '
                'hidden_size agree, or set share_embeddings=False.'
            )
        self.decoder.set_input_embeddings(embeddings)
        self.decoder.tie_weights()

    def _memory(self, fused: FusionOutput) -> Dict[str, torch.Tensor]:
        return dict(
            encoder_hidden_states=fused.tokens, encoder_attention_mask=fused.mask.long()
        )

    def encode(self, texts: List[str], device: torch.device) -> torch.Tensor:
        """Tokens of texts, behind the prompt and with an end, padded, (B, L);
        those that are too long are cut, with a warning."""
        lists = token_lists(
            self.tokenizer,
            texts,
            self.max_length - len(self.prompt) - 1,
            add_special_tokens=False,
        )['input_ids']
        rows = [
            torch.tensor([*self.prompt, *ids, self.end], device=device) for ids in lists
        ]
        return torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=self.tokenizer.pad_token_id
        )

    def forward(self, fused: FusionOutput, ids: torch.Tensor) -> torch.Tensor:
        """The logarithm of the probability of each text after the prompt.

        Args:
            fused (FusionOutput): The tokens of B samples.
            ids (torch.Tensor): Tokens of their texts, (B, L).

        Returns:
            torch.Tensor: Shape (B).
        """
        # Padding ends a sequence, so causal attention never sees it.
        logits = self.decoder(
            ids[:, :-1], use_cache=False, **self._memory(fused)
        ).logits
        targets = ids[:, 1:]
        scores = logits.float().log_softmax(dim=-1)
        scores = scores.gather(2, targets[..., None])[..., 0]
        given = len(self.prompt) - 1
        return (scores * self.valid_mask(targets))[:, given:].sum(dim=1)

    def valid_mask(self, ids: torch.Tensor) -> torch.Tensor:
        """True up to the end of each sequence, which may be the token of the
        padding."""
        ended = (ids == self.end).cumsum(dim=1)
        return ended - (ids == self.end).long() == 0

    def loss(self, fused: FusionOutput, data_samples: list) -> Dict[str, torch.Tensor]:
        """``loss_{field}``: the negative logarithm of the probability of each
        different text, weighted by the share of people who gave it."""
        texts, weights, index = [], [], []
        for number, sample in enumerate(data_samples):
            for text, share in weighted_texts(sample, self.field):
                texts.append(text)
                weights.append(share)
                index.append(number)
        device = fused.tokens.device
        if len(index) > len(data_samples):
            fused = _select(fused, torch.tensor(index, device=device))
        scores = self(fused, self.encode(texts, device))
        weights = scores.new_tensor(weights)
        loss = -(scores * weights).sum() / len(data_samples)
        return {f'loss_{self.field}': loss}

    @property
    def in_channels(self) -> int:
        """int: Channels D of the tokens that it attends to."""
        return self.decoder.config.hidden_size

    @torch.no_grad()
    def predict(self, fused: FusionOutput, data_samples: list) -> List[Any]:
        """The samples with ``pred_{field}`` and its probability as
        ``pred_score``."""
        texts, scores = (
            self._generate(fused) if self.answers is None else self._rank(fused)
        )
        return store_texts(data_samples, self.field, texts, scores.exp().tolist())

    def _generate(self, fused: FusionOutput) -> Tuple[List[str], torch.Tensor]:
        library = require('transformers')
        # The default cache would mix the keys of the words with the memory's.
        cache = library.EncoderDecoderCache(
            library.DynamicCache(), library.DynamicCache()
        )
        prompt = torch.tensor(self.prompt, device=fused.tokens.device).expand(
            len(fused.tokens), -1
        )
        ids = self.decoder.generate(
            prompt,
            # It may begin with the token of the padding, as T5's does.
            attention_mask=torch.ones_like(prompt),
            max_length=self.max_length,
            min_length=self.min_length,
            num_beams=self.num_beams,
            do_sample=False,
            past_key_values=cache,
            **self._memory(fused),
        )
        words = self.tokenizer.batch_decode(
            ids[:, len(self.prompt) :], skip_special_tokens=True
        )
        return words, self(fused, ids)

    def _rank(self, fused: FusionOutput) -> Tuple[List[str], torch.Tensor]:
        ids = self.encode(self.answers, fused.tokens.device)
        number = min(self.num_candidates, len(ids))
        first = self.decoder(
            ids[:1, : len(self.prompt)].expand(len(fused.tokens), -1),
            use_cache=False,
            **self._memory(fused),
        ).logits[:, -1]
        candidates = first[:, ids[:, len(self.prompt)]].topk(number).indices
        rows = torch.arange(len(candidates), device=ids.device)
        scores = torch.cat(
            [
                self(
                    _select(fused, some.repeat_interleave(number)),
                    ids[candidates[some].flatten()],
                )
                for some in rows.split(max(1, MAX_RANKED // number))
            ]
        ).unflatten(0, (-1, number))
        scores, best = scores.max(dim=1)
        chosen = candidates.gather(1, best[:, None])[:, 0].tolist()
        return [self.answers[i] for i in chosen], scores


def _first(*tokens: Optional[int]) -> int:
    """The first of the tokens that there is."""
    return next(token for token in tokens if token is not None)


def _select(fused: FusionOutput, index: torch.Tensor) -> FusionOutput:
    """Some of the samples' tokens, as often as they are named."""
    return FusionOutput(fused.tokens[index], fused.mask[index])
