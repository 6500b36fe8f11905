"""Presets on a command line."""

import re
from typing import List, Sequence, Union

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
