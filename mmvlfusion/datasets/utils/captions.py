"""Checks of captions."""

import re
from typing import Any, List

from .files import check_type


def check_captions(captions: Any, source: str, prefix: str) -> List[str]:
    """Remove the common prefix of an image's captions and check the rest.

    Args:
        captions (Any): One caption, or a list of several. None is an empty list.
        source (str): Where they come from, for errors.
        prefix (str): Words to remove from the beginning of each caption.
            Captions without them are allowed.

    Returns:
        list[str]: The captions without the prefix.

    Raises:
        ValueError: If there is no caption, one is not a string, or one has no
            words after the prefix.
    """
    if isinstance(captions, str):
        captions = [captions]
    elif captions is None:
        captions = []
    check_type(captions, 'the caption', source, (list, tuple))
    for caption in captions:
        check_type(caption, 'a caption', source, str)
    # A prefix ends where a word ends: 'a star' is not a prefix of 'a start'.
    pattern = re.compile(rf'^{re.escape(prefix.strip())}(?!\w)')
    stripped = [pattern.sub('', text.strip()).strip() for text in captions]
    if not stripped or not all(re.search(r'\w', text) for text in stripped):
        raise ValueError(
            f'{source} has the captions {captions}, but at least one caption is '
            f'needed, and each needs words after the prefix {prefix!r}: fix or '
            'remove this entry.'
        )
    return stripped
