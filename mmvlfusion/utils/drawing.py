"""Texts of pictures."""

from typing import ContextManager, Optional

import matplotlib


def literal_texts() -> ContextManager[None]:
    """Make matplotlib draw texts with dollar signs literally, not as formulas.

    For texts that a host draws, such as the names of classes. matplotlib parses
    wrapped texts all the same, see ``escape_math``.

    Returns:
        ContextManager: The context.
    """
    return matplotlib.rc_context({'text.parse_math': False})


def escape_math(text: str) -> str:
    """Escape dollar signs, so that matplotlib does not parse formulas.

    Not for use within ``literal_texts``.

    Args:
        text (str): The text.

    Returns:
        str: The text that matplotlib draws as ``text``.
    """
    return text.replace('$', r'\$')


def with_score(text: str, score: Optional[float]) -> str:
    """Append the score of a prediction to its text.

    Args:
        text (str): The text.
        score (float, optional): The score, or None if the prediction has none.

    Returns:
        str: The text with two significant digits of the score, such as
        ``'yes (0.87)'`` or ``'a red star (0.0031)'``.
    """
    return text if score is None else f'{text} ({score:.2g})'
