"""Tokenizers and language model configs of the library transformers."""

import logging
import os.path as osp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Tuple, Union

import torch
from mmengine.logging import print_log

from mmvlfusion.utils.checks import require

from ..utils import fingerprint

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')

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
            f'a local folder or a tokenizer on the hub. ({error})'
        ) from error


def encode(
    tokenizer: Any, texts: List[str], max_length: int, device: torch.device
) -> Encoding:
    """Turn texts into padded tokens; those of more than ``max_length`` are cut,
    with a warning.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Indices of tokens and a boolean mask,
        True where they are real, both (B, L).
    """
    batch = tokenizer.pad(
        token_lists(tokenizer, texts, max_length), return_tensors='pt'
    ).to(device)
    return batch['input_ids'], batch['attention_mask'].bool()


def token_lists(tokenizer: Any, texts: List[str], max_length: int, **kwargs) -> Any:
    """What a tokenizer makes of texts; those of more than ``max_length`` tokens
    are cut, with a warning."""
    batch = tokenizer(texts, **kwargs)
    long = [
        text for text, ids in zip(texts, batch['input_ids']) if len(ids) > max_length
    ]
    if not long:
        return batch
    print_log(
        f'{len(long)} of {len(texts)} texts have more than {max_length} '
        f'tokens and are cut: {long[0]!r}',
        logger='current',
        level=logging.WARNING,
    )
    return tokenizer(texts, truncation=True, max_length=max_length, **kwargs)


def local_or_hub(name: str) -> str:
    """The name of a local folder, or of a model on the hub.

    Raises:
        FileNotFoundError: If it is clearly a folder, and missing.
    """
    first = name.split('/')[0]
    is_path = (
        first in ('', '.', '..', '~')
        or name.count('/') > 1
        or (
            '/' in name
            and (first in ('checkpoints', 'data', 'work_dirs') or osp.isdir(first))
        )
    )
    if is_path and not osp.exists(osp.expanduser(name)):
        raise FileNotFoundError(
            f'The folder {name} is missing. A tokenizer is made by '
            'tools/dataset_converters/build_tokenizer.py CONFIG; for weights, '
            'see the README.md beside the config.'
        )
    return name


def vocab_fingerprint(tokenizer: Any) -> torch.Tensor:
    """A fingerprint of the vocabulary: 32 bytes as a tensor."""
    items = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return fingerprint([f'{index} {token}' for token, index in items])


def language_config(
    config: Union[str, Dict[str, Any]], tokenizer: Any, **overrides
) -> Any:
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
            'with, or leave vocab_size out.'
        )
    return config


def train_tokenizer(
    texts: List[str], size: int, min_frequency: int, unused: int = 0
) -> Any:
    """Train a WordPiece tokenizer on lower-case texts, deterministically.

    Args:
        texts (list[str]): The texts.
        size (int): Maximum number of tokens.
        min_frequency (int): Minimum number of occurrences of a token.
        unused (int): Number of additional tokens ``[unused0]``, ``[unused1]``,
            ... Defaults to 0.

    Returns:
        transformers.BertTokenizerFast: The tokenizer.

    Raises:
        ValueError: If there are no texts.
    """
    if not texts:
        raise ValueError('There are no texts to train a tokenizer on.')
    trained = require('tokenizers.implementations').BertWordPieceTokenizer(
        lowercase=True
    )
    # The trainer numbers letters within words in the order of a hash, on which
    # its choice among equally frequent tokens depends: number them first.
    letters = set(''.join(map(trained.normalizer.normalize_str, set(texts))))
    inner = [f'##{letter}' for letter in sorted(letters) if letter.strip()]
    trained.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        show_progress=False,
    )
    vocabulary = trained.get_vocab()
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'vocab.txt'
        path.write_text(
            '\n'.join(
                [
                    *sorted(vocabulary, key=vocabulary.get),
                    *(f'[unused{i}]' for i in range(unused)),
                ]
            )
        )
        return require('transformers').BertTokenizerFast(str(path), do_lower_case=True)
