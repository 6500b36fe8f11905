"""Names of the weights of a layer of BERT and of ``CrossAttentionBlock``."""

import re
from typing import Dict

import torch

Weights = Dict[str, torch.Tensor]

# BERT's name by our name.
SEPARATE = {
    'attn.proj': 'attention.output.dense',
    'norm1': 'attention.output.LayerNorm',
    'cross_attn.q': 'crossattention.self.query',
    'cross_attn.proj': 'crossattention.output.dense',
    'norm_cross': 'crossattention.output.LayerNorm',
    'ffn.layers.0.0': 'intermediate.dense',
    'ffn.layers.1': 'output.dense',
    'norm2': 'output.LayerNorm',
}
# BERT's names, in the order of the rows of our layer.
JOINED = {
    'attn.qkv': (
        'attention.self.query',
        'attention.self.key',
        'attention.self.value',
    ),
    'cross_attn.kv': ('crossattention.self.key', 'crossattention.self.value'),
}


def from_bert(weights: Weights) -> Weights:
    """Rename the weights of a layer of BERT.

    Args:
        weights (dict[str, torch.Tensor]): The weights of the layer, with or
            without those of its cross-attention.

    Returns:
        dict[str, torch.Tensor]: Those of a ``CrossAttentionBlock``.
    """
    renamed = {}
    for end in ('weight', 'bias'):
        for ours, name in SEPARATE.items():
            if f'{name}.{end}' in weights:
                renamed[f'{ours}.{end}'] = weights[f'{name}.{end}']
        for ours, names in JOINED.items():
            parts = [weights.get(f'{name}.{end}') for name in names]
            if all(part is not None for part in parts):
                renamed[f'{ours}.{end}'] = torch.cat(parts)
    return renamed


def to_bert(weights: Weights) -> Weights:
    """Rename the weights of a ``CrossAttentionBlock``.

    Args:
        weights (dict[str, torch.Tensor]): The weights of the block. Those of a
            low-rank layer, ``up`` and ``down``, are multiplied.

    Returns:
        dict[str, torch.Tensor]: Those of a layer of BERT with cross-attention.
    """
    weights = dict(weights)
    for name in [name for name in weights if name.endswith('.down')]:
        layer = name.removesuffix('.down')
        weights[f'{layer}.weight'] = weights[f'{layer}.up'] @ weights[name]
    renamed = {}
    for end in ('weight', 'bias'):
        for ours, name in SEPARATE.items():
            renamed[f'{name}.{end}'] = weights[f'{ours}.{end}']
        for ours, names in JOINED.items():
            parts = weights[f'{ours}.{end}'].chunk(len(names))
            renamed.update((f'{n}.{end}', part) for n, part in zip(names, parts))
    return renamed


def layers_of(weights: Weights, prefix: str) -> Dict[int, Weights]:
    """Group weights by the number of their layer.

    Args:
        weights (dict[str, torch.Tensor]): All weights.
        prefix (str): What precedes the number, such as ``'fusion.layers.'``.

    Returns:
        dict[int, dict[str, torch.Tensor]]: The weights of each layer by their
        name in the layer, in the order of the numbers.
    """
    layers: Dict[int, Weights] = {}
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.(.+)')
    for name, value in weights.items():
        match = pattern.fullmatch(name)
        if match:
            layers.setdefault(int(match[1]), {})[match[2]] = value
    return dict(sorted(layers.items()))
