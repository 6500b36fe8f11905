"""Presets for common model families: dense layers and feature layers.

The patterns match the layer names of the hosts, of timm and of transformers.
"""

import re
from typing import Iterable, List, Sequence, Tuple, Union

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

# Layers whose outputs are distilled: every block, and the pooled feature of a
# classifier.
FEATURES = dict(
    vit=(r'(\w+\.)?(layers|blocks)\.\d+',),
    tnt=(r'(\w+\.)?layers\.\d+\.outer',),
    swin=(r'(\w+\.)?stages\.\d+\.blocks\.\d+',),
    vssd=(r'(\w+\.)?stages\.\d+\.blocks\.\d+',),
    vision_ssd=(r'(\w+\.)?layers\.\d+',),
    bert=(r'(\w+\.)*encoder\.layer\.\d+',),
    pooled=('neck',),
)


# Parts of a multimodal model, by the beginning of a layer's name. Other layers are of
# the tower ``'fusion'``.
TOWERS = dict(
    vision=r'(\w+\.)?(backbone|vision|visual|image)\w*(\.|$)',
    text=r'(\w+\.)?(text|language|bert|question)\w*(\.|$)',
    fusion='',
)


def tower_of(name: str) -> str:
    """Find the tower of a layer.

    Args:
        name (str): Name of the layer.

    Returns:
        str: A key of ``TOWERS``.
    """
    return next(tower for tower, start in TOWERS.items() if re.match(start, name))


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


def parse_preset(words: Sequence[str], presets: dict) -> Union[str, List[str]]:
    """Parse the words of a command line.

    Args:
        words (Sequence[str]): The name of a preset, or regular expressions.
        presets (dict): The presets.

    Returns:
        str | list[str]: The name, or the regular expressions.
    """
    if len(words) == 1 and words[0] in presets:
        return words[0]
    return list(words)
