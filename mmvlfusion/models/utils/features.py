"""Outputs of modules within a model, by patterns of their names."""

import re
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, List

import torch
from torch import nn

NUM_NAMES_SHOWN = 8


def matching_modules(model: nn.Module, patterns: Iterable[str]) -> List[str]:
    """Find the modules whose name matches a pattern.

    Args:
        model (nn.Module): The model.
        patterns (Iterable[str]): Regular expressions of whole names.

    Returns:
        list[str]: Names of the modules, in the order of the model.

    Raises:
        ValueError: If a pattern matches no module.
    """
    names = [name for name, _ in model.named_modules()]
    for pattern in patterns:
        if not any(re.fullmatch(pattern, name) for name in names):
            some = [name for name in names if name.count('.') == 1][:NUM_NAMES_SHOWN]
            raise ValueError(
                f'features has {pattern!r}, which matches no whole name of a '
                f'module of {type(model).__name__}. There are modules such as '
                f'{", ".join(some)}.'
            )
    return [
        name
        for name in names
        if any(re.fullmatch(pattern, name) for pattern in patterns)
    ]


@contextmanager
def recorded_outputs(
    model: nn.Module, names: List[str]
) -> Iterator[List[torch.Tensor]]:
    """Record the outputs of modules while they run.

    Args:
        model (nn.Module): The model.
        names (list[str]): Names of its modules.

    Yields:
        list[torch.Tensor]: The outputs, appended as the modules run; an output
        of several tensors adds them in order.
    """
    outputs: List[torch.Tensor] = []
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output: outputs.extend(tensors_of(output))
        )
        for name in names
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def tensors_of(output: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in the output of a module.

    Args:
        output (Any): A tensor, or nested tuples, lists and dicts.

    Yields:
        torch.Tensor: The tensors, in order.
    """
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        yield from tensors_of(list(output.values()))
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from tensors_of(value)
