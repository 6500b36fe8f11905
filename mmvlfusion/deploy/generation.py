"""Generation of texts by exported graphs."""

from typing import Dict, List, Optional

import torch

from .graphs import grow_cache
from .runtimes import Session


def generate_greedily(
    graphs: Dict[str, Session],
    images: Optional[torch.Tensor],
    end: int,
    max_length: int,
    ids: Optional[torch.Tensor] = None,
    mask: Optional[torch.Tensor] = None,
    min_length: int = 0,
) -> List[List[int]]:
    """Generate texts by greedy decoding.

    Args:
        graphs (dict[str, Callable]): The graphs of a model, see ``load_export``.
        images (torch.Tensor, optional): Normalised images, (B, 3, H, W). None for a
            model that reads text only.
        end (int): The end token.
        max_length (int): Maximum number of new tokens, with the end token.
        ids (torch.Tensor, optional): Token ids of the questions, (B, L), for a model
            that reads them. Defaults to None.
        mask (torch.Tensor, optional): True at valid tokens of ``ids``. Defaults to
            None.
        min_length (int): Minimum number of new tokens before the end token. Defaults
            to 0.

    Returns:
        list[list[int]]: Token ids of each text, without prompt and end token.
    """
    inputs: List[torch.Tensor] = []
    if images is not None:
        inputs += graphs['image_encoder'](images)
    if ids is not None and mask is not None:
        inputs += [ids, mask]
    logits, memory_mask, *cache = graphs['fusion'](*inputs)
    tokens: List[List[int]] = [[] for _ in logits]
    finished = torch.zeros(len(logits), dtype=torch.bool)
    for length in range(max_length):
        if length < min_length:
            logits = logits.clone()
            logits[:, end] = -torch.inf
        best = logits.argmax(dim=1)
        finished |= best == end
        for text, token, is_finished in zip(tokens, best.tolist(), finished.tolist()):
            if not is_finished:
                text.append(token)
        if finished.all() or length == max_length - 1:
            break
        outputs = graphs['decoder'](best[:, None], memory_mask, *cache)
        logits = outputs[0][:, -1]
        cache = grow_cache(cache, outputs[1:])
    return tokens
