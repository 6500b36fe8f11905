"""Tracing of graphs with ``torch.export``."""

import inspect
from typing import Any, Dict, List, Optional

import torch
from mmengine.utils import digit_version
from torch import nn

from .graphs import Graph, Tensors, dynamic_axes

# The first release with dynamic axes whose relations are found by tracing.
LOWEST_TORCH = '2.6.0'


def check_torch() -> None:
    """Check that the installed PyTorch can export.

    Raises:
        ImportError: If it is too old.
    """
    if digit_version(torch.__version__) < digit_version(LOWEST_TORCH):
        raise ImportError(
            f'Export needs PyTorch {LOWEST_TORCH} or later, but {torch.__version__} '
            'is installed: install a later release.'
        )


def trace(graph: Graph, inputs: Tensors, dynamic: str) -> Any:
    """Trace a graph.

    Args:
        graph (Graph): The graph, in evaluation mode.
        inputs (tuple[torch.Tensor]): Its inputs; the sizes of dynamic axes must be
            above one.
        dynamic (str): See ``dynamic_axes``.

    Returns:
        torch.export.ExportedProgram: The graph.

    Raises:
        ValueError: If it cannot be traced, with the module at fault.
    """
    check_torch()
    specs = [
        dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
        for axes in dynamic_axes(graph, dynamic)
    ]
    bound = inspect.signature(graph.module.forward).bind(*specs).arguments
    try:
        with torch.no_grad():
            return torch.export.export(
                graph.module, inputs, dynamic_shapes=dict(bound), strict=False
            )
    except Exception as error:
        module = _module_at_fault(error, graph.module)
        advice = (
            ' If it only fails for dynamic sizes, choose --dynamic batch.'
            if dynamic == 'size'
            else ''
        )
        reason = str(error).strip().split('\n')[0]
        raise ValueError(
            f'The graph {graph.name!r} cannot be traced, because of {module}: '
            f'{type(error).__name__}: {reason}{advice}'
        ) from error


def _module_at_fault(error: Optional[BaseException], root: nn.Module) -> str:
    """Name and class of the innermost module in the traceback of an error."""
    names: Dict[int, str] = {id(x): name for name, x in root.named_modules()}
    found: List[str] = []
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            owner = frame.tb_frame.f_locals.get('self')
            if names.get(id(owner)):
                found.append(f'{names[id(owner)]} ({type(owner).__name__})')
            frame = frame.tb_next
        if found:
            break
        error = error.__cause__ or error.__context__
    return found[-1] if found else f'the model ({type(root).__name__})'
