"""Outputs of modules within a model, by patterns of their names."""
import re
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List

import torch
from torch import nn


def matching_modules(model: nn.Module, patterns: Iterable[str]) -> List[str]:
    """The names of the modules that one of the patterns matches.

    Args:
        model (nn.Module): The model.
        patterns (Iterable[str]): Regular expressions of whole names.

    Raises:
        ValueError: If a pattern matches no module.
    """
    names = [name for name, _ in model.named_modules()]
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in names):
            some = [name for name in names if name.count('.') == 1][:8]
            raise ValueError(
                f'features has {pattern!r}, which matches the whole name of no '
                f'module of {type(model).__name__}. There are modules such as '
                f'{", ".join(some)}.')
    return [
        name for name in names
        if any(re.fullmatch(pattern, name) for pattern in patterns)
    ]


@contextmanager
def all_tokens_updated(model: nn.Module) -> Iterator[None]:
    """Let backbones update all their tokens for hooks on their blocks, though
    their output needs fewer (``full_last_block`` of TNT)."""
    lazy = [
        module for module in model.modules()
        if getattr(module, 'full_last_block', True) is False
    ]
    for module in lazy:
        module.full_last_block = True
    try:
        yield
    finally:
        for module in lazy:
            module.full_last_block = False


@contextmanager
def recorded_outputs(
        model: nn.Module, names: List[str]) -> Iterator[List[torch.Tensor]]:
    """A list that fills with the outputs of modules as they run; an output
    of several tensors adds them in order. Blocks give all their tokens."""
    outputs: List[torch.Tensor] = []
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output: outputs.extend(_tensors(output)))
        for name in names
    ]
    try:
        with all_tokens_updated(model):
            yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from _tensors(value)
