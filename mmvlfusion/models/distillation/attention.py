"""Attention scores before the softmax, without a change of the model's outputs."""

from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator, List

import torch
from torch import nn


def attention_names(model: nn.Module, blocks: List[str]) -> List[str]:
    """Find the self-attention in each block.

    Args:
        model (nn.Module): The model.
        blocks (list[str]): Names of its blocks.

    Returns:
        list[str]: Names of the attentions.

    Raises:
        ValueError: If a block has none, or more than one.
    """
    names = []
    for block in blocks:
        found = [
            f'{block}.{name}' if name else block
            for name, module in model.get_submodule(block).named_modules()
            if _is_attention(module)
        ]
        if len(found) != 1:
            raise ValueError(
                f'{block} of {type(model).__name__} has {len(found)} self-attentions '
                'with the layer qkv, expected one: choose blocks of a ViT or a Swin '
                'by features.'
            )
        names += found
    return names


def num_heads(model: nn.Module, name: str) -> int:
    """Get the number of heads of an attention.

    Args:
        model (nn.Module): The model.
        name (str): Name of the attention.

    Returns:
        int: The number.
    """
    module: Any = model.get_submodule(name)
    return module.num_heads


@contextmanager
def recorded_scores(model: nn.Module, names: List[str]) -> Iterator[List[torch.Tensor]]:
    """Record the attention scores of a model while it runs.

    The attention of Swin gives its scores with position bias and mask. Fused
    attention does not give them: they are computed from the output of ``qkv``, as
    q k^T / sqrt(D).

    Args:
        model (nn.Module): The model.
        names (list[str]): Names of its attentions, see ``attention_names``.

    Yields:
        list[torch.Tensor]: The scores in float32, (B, heads, N, N) each, appended
        as the attentions run. In Swin, B counts windows.
    """
    scores: List[torch.Tensor] = []
    handles = []
    for name in names:
        module: Any = model.get_submodule(name)
        if isinstance(getattr(module, 'softmax', None), nn.Softmax):
            hook = module.softmax.register_forward_pre_hook(
                lambda module, args: scores.append(args[0].float())
            )
        else:
            hook = module.qkv.register_forward_hook(
                partial(_append_scores, scores, module.num_heads)
            )
        handles.append(hook)
    try:
        yield scores
    finally:
        for handle in handles:
            handle.remove()


def _append_scores(
    scores: List[torch.Tensor],
    heads: int,
    module: nn.Module,
    args: tuple,
    qkv: torch.Tensor,
) -> None:
    # (B, N, 3 * D) -> twice (B, heads, N, D / heads)
    q, k, _ = qkv.float().unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    scores.append(q @ k.mT * q.shape[-1] ** -0.5)


def _is_attention(module: nn.Module) -> bool:
    """Whether a module has a packed projection, whose scores are known."""
    normalised = getattr(module, 'q_norm', None)
    return (
        hasattr(module, 'qkv')
        and hasattr(module, 'num_heads')
        and (normalised is None or isinstance(normalised, nn.Identity))
    )
