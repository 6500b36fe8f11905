"""Comparison of exported graphs with PyTorch."""

from typing import Iterator, List, NamedTuple, Sequence, Tuple

import torch

from .graphs import NUM_TEXT_TOKENS, Graph, Tensors
from .runtimes import Session


class Case(NamedTuple):
    """Sizes for which the graphs of a model are compared.

    Attributes:
        batch (int): Batch size.
        shape (tuple[int, int]): Height and width of the images in pixels.
        num_text_tokens (int): Tokens of a text.
    """

    batch: int
    shape: Tuple[int, int]
    num_text_tokens: int

    def __str__(self) -> str:
        height, width = self.shape
        return f'batch {self.batch}, {height} x {width} px'


def make_cases(
    dynamic: str, batch: int, shape: Tuple[int, int], max_text_length: int
) -> List[Case]:
    """Choose the sizes for the comparison.

    Args:
        dynamic (str): See ``dynamic_axes``.
        batch (int): Batch size of a graph with a fixed one.
        shape (tuple[int, int]): Height and width of the images in pixels.
        max_text_length (int): Largest number of tokens of a text.

    Returns:
        list[Case]: The sizes. The graph is traced for the first one that the model
        accepts. With dynamic sizes it is not ``shape``: many ViTs skip the resampling
        of their positions for it, which a graph of any size must not.
    """
    if dynamic == 'none':
        return [Case(batch, shape, max_text_length)]
    if dynamic == 'batch':
        return [Case(size, shape, max_text_length) for size in (2, 1, 5)]
    height, width = shape
    return [
        Case(2, (height + height // 2, 2 * width), NUM_TEXT_TOKENS),
        Case(2, shape, max_text_length),
        Case(1, (height, 2 * width), NUM_TEXT_TOKENS),
        Case(3, (height + 3, width + 5), NUM_TEXT_TOKENS - 1),
    ]


def largest_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Measure the largest difference relative to the largest value.

    Args:
        ours (torch.Tensor): Output of an exported graph.
        theirs (torch.Tensor): Output of PyTorch.

    Returns:
        float: The difference; infinite for another shape and for values that are not
        finite.
    """
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return float('inf')
    ours, theirs = ours.float(), theirs.float()
    scale = theirs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return ((ours - theirs).abs().max() / scale).item()


def mean_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Measure the root mean square difference relative to that of the values.

    Args:
        ours (torch.Tensor): Output of a quantised graph.
        theirs (torch.Tensor): Output of PyTorch.

    Returns:
        float: The difference; infinite as in ``largest_difference``.
    """
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return float('inf')
    ours, theirs = ours.float(), theirs.float()
    scale = theirs.norm().clamp(min=torch.finfo(torch.float32).tiny)
    return ((ours - theirs).norm() / scale).item()


def differences(
    graph: Graph, session: Session, inputs: Sequence[Tensors], is_int8: bool
) -> Iterator[Tuple[str, float]]:
    """Compare a graph with PyTorch.

    Args:
        graph (Graph): The graph.
        session (Callable): Runs the exported graph.
        inputs (Sequence[tuple[torch.Tensor]]): The inputs of each comparison.
        is_int8 (bool): Whether the graph is quantised: mean differences are measured.

    Yields:
        tuple[str, float]: Name of an output and its difference.
    """
    measure = mean_difference if is_int8 else largest_difference
    for tensors in inputs:
        outputs = zip(graph.outputs, session(*tensors), graph.run(*tensors))
        for name, ours, theirs in outputs:
            yield name, measure(ours, theirs)
