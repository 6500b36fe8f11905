"""Fingerprints that bind a checkpoint to a vocabulary or a list of answers."""

import hashlib
from typing import Sequence

import torch


def fingerprint(lines: Sequence[str]) -> torch.Tensor:
    """Compute the SHA-256 of lines of text.

    Args:
        lines (Sequence[str]): The lines.

    Returns:
        torch.Tensor: 32 bytes, to be registered as a buffer.
    """
    return torch.tensor(
        list(hashlib.sha256('\n'.join(lines).encode()).digest()), dtype=torch.uint8
    )


def check_fingerprint(
    state_dict: dict, name: str, expected: torch.Tensor, message: str
) -> None:
    """Compare the fingerprint of a checkpoint, if it has one.

    Args:
        state_dict (dict): The checkpoint's weights.
        name (str): Key of the fingerprint.
        expected (torch.Tensor): The fingerprint of the model.
        message (str): Message of the error.

    Raises:
        ValueError: If they differ.
    """
    stored = state_dict.get(name)
    if stored is not None and not torch.equal(stored.cpu(), expected.cpu()):
        raise ValueError(message)
