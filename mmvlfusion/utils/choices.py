"""The check of an argument that is one of a few words."""
from typing import Sequence


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ValueError: With the name, the value and the choices.
    """
    if value not in choices:
        raise ValueError(f'{name}={value!r} is none of {list(choices)}.')
