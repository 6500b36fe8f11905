"""Fingerprints of what a checkpoint belongs to beside its weights."""
import hashlib
from typing import Sequence

import torch


def fingerprint(lines: Sequence[str]) -> torch.Tensor:
    """The SHA-256 of lines of text: 32 bytes as a tensor, to be a buffer."""
    return torch.tensor(
        list(hashlib.sha256('\n'.join(lines).encode()).digest()),
        dtype=torch.uint8)


def refuse_other(state_dict: dict, name: str, own: torch.Tensor,
                 message: str) -> None:
    """Compare a fingerprint with that in a checkpoint, if it has one.

    Raises:
        ValueError: With the message, if they differ.
    """
    stored = state_dict.get(name)
    if stored is not None and not torch.equal(stored.cpu(), own.cpu()):
        raise ValueError(message)
