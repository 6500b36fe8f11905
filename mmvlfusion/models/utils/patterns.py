"""Selection of layers by presets and regular expressions.

The patterns match the layer names of the hosts, of timm and of transformers.
"""

import re
from typing import Iterable, List, Tuple, Union

from .linear_layers import shorten

# Layers that are not compressed, as in PELA's released code. In Swin, the
# attention projections stay dense on ImageNet only.
_HEAD = r'(^|\.)head(\.|$)'
# The MLP of Swin V2's position bias has two inputs.
_SWIN = (_HEAD, 'patch_embed', 'downsample', 'cpb_mlp')
EXCLUDE = dict(
    vit=(_HEAD, 'patch_embed'),
    swin=_SWIN,
    swin_without_proj=(*_SWIN, r'attn\.(w_msa\.)?proj$'),
    # The inner transformers are only 12 to 40 channels wide.
    tnt=(_HEAD, 'word_embed', 'sentence_embed', 'to_sentence', r'\.inner\.'),
    # Stem and merging are convolutions.
    vssd=(_HEAD,),
    vision_ssd=(_HEAD,),
    bert=(r'(^|\.)cls(\.|_)', '_proj', 'pooler', 'classifier'),
)


def resolve(
    patterns: Union[str, Iterable[str]], presets: dict, what: str
) -> Tuple[str, ...]:
    """Replace the names of presets by their patterns.

    Args:
        patterns (str | Iterable[str]): Name of a preset, or a list of names of
            presets and of regular expressions.
        presets (dict): The presets.
        what (str): Name of the argument, for the error.

    Returns:
        tuple[str, ...]: The regular expressions.

    Raises:
        ValueError: If ``patterns`` is not text or a list of texts, a string is
            not the name of a preset, or a list has something else than regular
            expressions.
    """
    if isinstance(patterns, str):
        if patterns not in presets:
            raise ValueError(
                f'{what}={patterns!r} is not a preset. Choose one of '
                f'{sorted(presets)}, or give regular expressions as '
                f'a list, {what}=[{patterns!r}].'
            )
        return presets[patterns]
    if not isinstance(patterns, Iterable):
        raise ValueError(
            f'{what}={patterns!r} must be one of {sorted(presets)} or a list of '
            'regular expressions.'
        )
    resolved: List[str] = []
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f'{what} has {pattern!r}, which is not a regular expression '
                f'({error}): correct it or escape its special characters.'
            ) from error
        resolved += presets.get(pattern, [pattern])
    return tuple(resolved)


def matches(patterns: Iterable[str], name: str) -> bool:
    """Check whether any regular expression matches a part of a name.

    Args:
        patterns (Iterable[str]): The regular expressions, see ``resolve``.
        name (str): Name of a layer or a parameter.

    Returns:
        bool: Whether one matches. False without patterns.
    """
    return any(re.search(pattern, name) for pattern in patterns)


def check_matches(
    patterns: Union[str, Iterable[str]],
    presets: dict,
    names: Iterable[str],
    what: str,
) -> None:
    """Check that each regular expression matches a layer.

    Presets are not checked, since they serve models of all kinds.

    Args:
        patterns (str | Iterable[str]): See ``resolve``.
        presets (dict): The presets.
        names (Iterable[str]): Names of the layers.
        what (str): Name of the argument, for the error.

    Raises:
        ValueError: If a pattern matches no name.
    """
    names = list(names)
    for pattern in () if isinstance(patterns, str) else patterns:
        if pattern not in presets and not any(matches((pattern,), x) for x in names):
            raise ValueError(
                f'{what} has {pattern!r}, which matches no linear layer. '
                f'The layers are {shorten(names)}.'
            )
