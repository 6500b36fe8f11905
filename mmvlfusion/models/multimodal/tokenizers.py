"""Tokenizers and language model configs of the library transformers."""

import logging
import os.path as osp
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Tuple, Union

import torch
from mmengine.logging import print_log

from mmvlfusion.utils.checks import require
from mmvlfusion.utils.spacing import even_spaces

from ..utils import fingerprint

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
# Folders of a project, which are not owners of models on the hub.
LOCAL_FOLDERS = ('checkpoints', 'data', 'work_dirs')

Encoding = Tuple[torch.Tensor, torch.Tensor]


def build_tokenizer(cfg: Union[str, Dict[str, Any]]) -> Any:
    """Build a tokenizer.

    Args:
        cfg (str | dict): A local folder, as made by
            ``tools/dataset_converters/build_tokenizer.py``; a name on the hub;
            or a config of mmpretrain's registry ``TOKENIZER``.

    Returns:
        transformers.PreTrainedTokenizerBase: The tokenizer.

    Raises:
        FileNotFoundError: If the local folder does not exist.
        ValueError: If the tokenizer cannot be loaded.
    """
    # Importing mmpretrain's models fills its registry.
    require('transformers')
    require('mmpretrain.models')
    registry = require('mmpretrain.registry').TOKENIZER
    if isinstance(cfg, str):
        cfg = dict(type='AutoTokenizer', name_or_path=local_or_hub(cfg))
    try:
        return registry.build(cfg)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f'Cannot load the tokenizer {dict(cfg)} ({error}). Train one on '
            'your own questions with '
            'tools/dataset_converters/build_tokenizer.py, or set a local folder '
            'or the name of a tokenizer on the hub.'
        ) from error


def encode(
    tokenizer: Any,
    texts: List[str],
    max_length: int,
    device: torch.device,
    end_token: bool = True,
) -> Encoding:
    """Convert texts to padded token ids.

    Texts of more than ``max_length`` tokens are truncated, with a warning.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        texts (list[str]): The B texts.
        max_length (int): Maximum number of tokens L, with special tokens.
        device (torch.device): Device of the result.
        end_token (bool): Whether a text ends with the tokenizer's end token.
            Defaults to True.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Token ids and a boolean mask, True at
        valid tokens, (B, L) each.
    """
    lists = token_lists(tokenizer, texts, max_length, end_token=end_token)
    batch = tokenizer.pad(dict(input_ids=lists), return_tensors='pt').to(device)
    return batch['input_ids'], batch['attention_mask'].bool()


def token_lists(
    tokenizer: Any,
    texts: List[str],
    max_length: int,
    end_token: bool = True,
    **kwargs,
) -> List[List[int]]:
    """Convert texts to lists of token ids.

    Texts of more than ``max_length`` tokens are truncated, with a warning.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        texts (list[str]): The texts.
        max_length (int): Maximum number of tokens.
        end_token (bool): If False, the last special token that the tokenizer
            adds to a text is removed, and ``max_length`` does not count it.
            Defaults to True.
        **kwargs: Other arguments of the tokenizer.

    Returns:
        list[list[int]]: The token ids of each text.
    """
    # The tokenizer counts the token that is removed afterwards.
    limit = max_length if end_token else max_length + 1
    lists = tokenizer(texts, **kwargs)['input_ids']
    long = [text for text, ids in zip(texts, lists) if len(ids) > limit]
    if long:
        print_log(
            f'{len(long)} of {len(texts)} texts have more than {max_length} '
            f'tokens and are truncated, e.g. {long[0]!r}.',
            logger='current',
            level=logging.WARNING,
        )
        lists = tokenizer(texts, truncation=True, max_length=limit, **kwargs)[
            'input_ids'
        ]
    return lists if end_token else [ids[:-1] for ids in lists]


def decode(tokenizer: Any, ids: Union[torch.Tensor, List[List[int]]]) -> List[str]:
    """Convert token ids to texts.

    If the tokenizer does not keep the spaces next to punctuation marks, as
    WordPiece tokenizers do not, they are set by the rules of ``even_spaces``.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        ids (torch.Tensor | list[list[int]]): Token ids of the B texts, (B, L).
            Special tokens are omitted.

    Returns:
        list[str]: The B texts.
    """
    texts = tokenizer.batch_decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    joined, spaced = tokenizer(['a-b', 'a - b'])['input_ids']
    if joined != spaced:
        return texts
    return [even_spaces(text) for text in texts]


def warn_of_changed_letters(tokenizer: Any, texts: List[str]) -> None:
    """Warn if a tokenizer changes letters of the texts that a model learns.

    Uncased tokenizers of the hub remove accents, so a prediction never equals
    the text. Case and spaces next to marks are ignored; ASCII letters are not
    changed.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        texts (list[str]): The texts.
    """
    texts = [even_spaces(text).lower() for text in texts if not text.isascii()]
    if not texts:
        return
    ids = tokenizer(texts, add_special_tokens=False)['input_ids']
    restored = [even_spaces(text).lower() for text in decode(tokenizer, ids)]
    if restored != texts:
        # The text of the warning is constant, so Python shows it once.
        warnings.warn(
            f'The tokenizer {tokenizer.name_or_path!r} changes letters, such as '
            'those with accents, in the texts to be generated, so some correct '
            'texts cannot be predicted: train a tokenizer on them with '
            'tools/dataset_converters/build_tokenizer.py.',
            stacklevel=2,
        )


def local_or_hub(name: str) -> str:
    """Check the name of a local folder or of a model on the hub.

    Args:
        name (str): The name.

    Returns:
        str: The same name.

    Raises:
        FileNotFoundError: If the name is a local path that does not exist.
    """
    if _is_path(name) and not osp.exists(osp.expanduser(name)):
        raise FileNotFoundError(
            f'The folder {name} is missing. Build a tokenizer with '
            'tools/dataset_converters/build_tokenizer.py CONFIG; for weights, '
            'see the README.md next to the config.'
        )
    return name


def _is_path(name: str) -> bool:
    """Whether a name is a local path; names on the hub are owner/model."""
    parts = name.split('/')
    if parts[0] in ('', '.', '..', '~') or len(parts) > 2:
        return True
    return len(parts) == 2 and (parts[0] in LOCAL_FOLDERS or osp.isdir(parts[0]))


def vocab_fingerprint(tokenizer: Any) -> torch.Tensor:
    """Compute a fingerprint of the vocabulary of a tokenizer.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.

    Returns:
        torch.Tensor: 32 bytes.
    """
    items = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return fingerprint([f'{index} {token}' for token, index in items])


def language_config(
    config: Union[str, Dict[str, Any]], tokenizer: Any, **overrides
) -> Any:
    """Build the config of a language model.

    Args:
        config (str | dict): A local folder or a name on the hub, where only
            ``config.json`` is read; or a dict with the ``model_type`` and the
            arguments of its config class. ``vocab_size`` of a dict defaults to
            the tokenizer's.
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        **overrides: Settings that override those of ``config``.

    Returns:
        transformers.PretrainedConfig: The config.

    Raises:
        ValueError: If the vocabulary is smaller than the tokenizer's.
    """
    auto = require('transformers').AutoConfig
    if isinstance(config, str):
        built = auto.from_pretrained(local_or_hub(config), **overrides)
    else:
        settings = dict(vocab_size=len(tokenizer)) | dict(config) | overrides
        built = auto.for_model(**settings)
    if built.vocab_size < len(tokenizer):
        raise ValueError(
            f'vocab_size={built.vocab_size} of the {built.model_type} is '
            f'below the {len(tokenizer)} tokens of the tokenizer '
            f'{tokenizer.name_or_path!r}: set the tokenizer that the model was '
            'trained with, or omit vocab_size.'
        )
    return built


def train_tokenizer(
    texts: List[str], size: int, min_frequency: int, unused: int = 0
) -> Any:
    """Train a WordPiece tokenizer on lower-case texts.

    Accents are kept. The result is deterministic.

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
        raise ValueError('texts is empty: a tokenizer needs texts to train on.')
    trained = require('tokenizers.implementations').BertWordPieceTokenizer(
        lowercase=True, strip_accents=False
    )
    # The trainer numbers the letters within words in the order of a hash. Its
    # choice among equally frequent tokens depends on that order, so the letters
    # are passed in a fixed order.
    letters = set()
    for text in set(texts):
        letters.update(trained.normalizer.normalize_str(text))
    inner = [f'##{letter}' for letter in sorted(letters) if letter.strip()]
    trained.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        show_progress=False,
    )
    vocabulary = trained.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    tokens += [f'[unused{i}]' for i in range(unused)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'vocab.txt'
        path.write_text('\n'.join(tokens))
        return require('transformers').BertTokenizerFast(
            str(path), do_lower_case=True, strip_accents=False
        )
