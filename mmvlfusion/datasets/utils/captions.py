"""What makes a caption fit for training."""

import re
from typing import List, Union


def check_captions(
    captions: Union[str, List[str], None], source: str, prefix: str
) -> List[str]:
    """The captions of an image without the words with which all of them begin.

    Args:
        captions (str | list[str] | None): One caption or several.
        source (str): Where they are from, for errors.
        prefix (str): The first words, which need not be there.

    Raises:
        ValueError: If there is none, or one has no words of its own.
    """
    captions = [captions] if isinstance(captions, str) else captions or []
    first = re.compile(rf'^{re.escape(prefix.strip())}(?!\w)')
    stripped = [first.sub('', text.strip()).strip() for text in captions]
    if not stripped or not all(re.search(r'\w', text) for text in stripped):
        raise ValueError(
            f'{source} has the captions {captions}, of which each needs words '
            f'beside the prefix {prefix!r}: mend them, or leave it out.'
        )
    return stripped
