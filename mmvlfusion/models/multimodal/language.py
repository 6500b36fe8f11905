"""Tokenizers and language models of the library transformers."""
import os.path as osp
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.extras import require
from mmvlfusion.utils.fingerprints import fingerprint

Encoding = Tuple[torch.Tensor, torch.Tensor]


def build_tokenizer(cfg: Union[str, Dict[str, Any]]) -> Any:
    """Build a tokenizer.

    Args:
        cfg (str | dict): A local folder, such as
            ``tools/dataset_converters/build_tokenizer.py`` makes, or a name
            on the hub; or a config of mmpretrain's registry ``TOKENIZER``.

    Returns:
        transformers.PreTrainedTokenizerBase: The tokenizer.

    Raises:
        FileNotFoundError: If it names a folder that is missing.
        ValueError: If it cannot be loaded.
    """
    # The names within mmpretrain's registry come with its models.
    require('transformers')
    require('mmpretrain.models')
    registry = require('mmpretrain.registry').TOKENIZER
    if isinstance(cfg, str):
        cfg = dict(type='AutoTokenizer', name_or_path=local_or_hub(cfg))
    try:
        return registry.build(cfg)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f'Cannot load the tokenizer {dict(cfg)}. Make one from your own '
            'questions by tools/dataset_converters/build_tokenizer.py, or name '
            f'a local folder or a tokenizer on the hub. ({error})') from error


def encode(tokenizer: Any, texts: List[str], max_length: int,
           device: torch.device) -> Encoding:
    """Turn texts into padded tokens; those of more than ``max_length`` are cut,
    with a warning.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Indices of tokens and a boolean mask,
        True where they are real, both (B, L).
    """
    batch = tokenizer.pad(
        token_lists(tokenizer, texts, max_length),
        return_tensors='pt').to(device)
    return batch['input_ids'], batch['attention_mask'].bool()


def token_lists(tokenizer: Any, texts: List[str], max_length: int,
                **kwargs) -> Any:
    """What a tokenizer makes of texts; those of more than ``max_length`` tokens
    are cut, with a warning."""
    batch = tokenizer(texts, **kwargs)
    long = [
        text for text, ids in zip(texts, batch['input_ids'])
        if len(ids) > max_length
    ]
    if not long:
        return batch
    print_log(
        f'{len(long)} of {len(texts)} texts have more than {max_length} '
        f'tokens and are cut: {long[0]!r}',
        logger='current',
        level=30)
    return tokenizer(texts, truncation=True, max_length=max_length, **kwargs)


def local_or_hub(name: str) -> str:
    """The name of a local folder, or of a model on the hub.

    Raises:
        FileNotFoundError: If it is clearly a folder, and missing.
    """
    first = name.split('/')[0]
    is_path = first in ('', '.', '..', '~') or name.count('/') > 1 or (
        '/' in name and (first in ('checkpoints', 'data', 'work_dirs')
                         or osp.isdir(first)))
    if is_path and not osp.exists(osp.expanduser(name)):
        raise FileNotFoundError(
            f'The folder {name} is missing. A tokenizer is made by '
            'tools/dataset_converters/build_tokenizer.py CONFIG; for weights, '
            'see the README.md beside the config.')
    return name


def digest(tokenizer: Any) -> torch.Tensor:
    """A fingerprint of the vocabulary: 32 bytes as a tensor."""
    items = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return fingerprint([f'{index} {token}' for token, index in items])


def language_config(config: Union[str, Dict[str, Any]], tokenizer: Any,
                    **overrides) -> Any:
    """The config of a language model.

    Args:
        config (str | dict): A local folder or a name on the hub, of which only
            ``config.json`` is read; or the arguments of the config's class and
            its ``model_type``. The size of the vocabulary defaults to the
            tokenizer's.
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        **overrides: Settings over those of ``config``.

    Returns:
        transformers.PretrainedConfig: The config.

    Raises:
        ValueError: If the vocabulary is smaller than the tokenizer's.
    """
    auto = require('transformers').AutoConfig
    if isinstance(config, str):
        config = auto.from_pretrained(local_or_hub(config), **overrides)
    else:
        config = dict(vocab_size=len(tokenizer)) | dict(config) | overrides
        config = auto.for_model(**config)
    if config.vocab_size < len(tokenizer):
        raise ValueError(
            f'vocab_size={config.vocab_size} of the {config.model_type} is '
            f'below the {len(tokenizer)} tokens of the tokenizer '
            f'{tokenizer.name_or_path!r}: choose the one that it was made '
            'with, or leave vocab_size out.')
    return config


@MODELS.register_module()
class TextEncoder(BaseModule):
    """An encoder of the library transformers, such as BERT's or T5's.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer; a
            model around the encoder sets it.
        config (str | dict, optional): See ``language_config``. Defaults to
            that of ``pretrained``.
        pretrained (str, optional): Local folder or name on the hub, whose
            weights are loaded when training starts. Defaults to None, random
            weights.
        init_cfg (dict, optional): Initialisation after that. Defaults to None.

    Raises:
        ValueError: If there is neither a config nor a pretrained model, or the
            vocabulary is smaller than the tokenizer's.
    """

    def __init__(self,
                 tokenizer: Any,
                 config: Union[str, Dict[str, Any], None] = None,
                 pretrained: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.tokenizer = tokenizer
        config = config or pretrained
        if config is None:
            raise ValueError('A text encoder needs config or pretrained.')
        self.pretrained = pretrained
        auto = require('transformers').AutoModelForTextEncoding
        self.encoder = auto.from_config(language_config(config, tokenizer))
        # Parameters that do not take part would stop distributed training.
        self.encoder.pooler = None

    @property
    def embed_dims(self) -> int:
        """int: Channels D of the tokens."""
        return self.encoder.config.hidden_size

    @property
    def max_length(self) -> Optional[int]:
        """int, optional: The most tokens that have positions."""
        return getattr(self.encoder.config, 'max_position_embeddings', None)

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            FileNotFoundError: If they are not there.
            ValueError: If they belong to another tokenizer.
        """
        if self.pretrained is not None and not self.is_init:
            self._check_words()
            loaded = type(self.encoder).from_pretrained(
                local_or_hub(self.pretrained), config=self.encoder.config)
            loaded.pooler = None
            self.encoder.load_state_dict(loaded.state_dict())
        super().init_weights()

    def _check_words(self) -> None:
        """Whether the tokenizer beside the weights, if any, knows the words by
        the same numbers."""
        auto = require('transformers').AutoTokenizer
        try:
            own = auto.from_pretrained(local_or_hub(self.pretrained))
        except (OSError, TypeError, ValueError):
            return  # The folder holds weights alone.
        words = self.tokenizer.get_vocab()
        other = [
            word for word, index in own.get_vocab().items()
            if words.get(word) != index
        ]
        if other:
            raise ValueError(
                f'The tokenizer {self.tokenizer.name_or_path!r} does not fit '
                f'the weights of {self.pretrained!r}: {len(other)} words, '
                f'{other[0]!r} the first, have other numbers. Set '
                f'tokenizer={self.pretrained!r}.')

    def forward(self,
                input_ids: torch.Tensor,
                mask: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Encode tokens (B, L), of which ``mask`` (B, L) tells the real ones;
        (B, L, D)."""
        return self.encoder(
            input_ids,
            attention_mask=None if mask is None else mask.long())[0]
