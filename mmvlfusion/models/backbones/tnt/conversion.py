"""Names and layouts of the weights of TNT in other implementations."""

import re
from typing import Dict, List, Tuple

import torch

from ...utils import rename

Weights = Dict[str, torch.Tensor]
Rules = List[Tuple[str, str]]

FAMILIES = ('mmvlfusion', 'huawei', 'timm', 'mmpretrain')
# A name that only this family has.
SIGNATURES = dict(
    mmvlfusion='word_embed.projection.weight',
    huawei='patch_embed.proj.weight',
    timm='blocks.0.attn_out.proj.weight',
    mmpretrain='layers.0.outer_block.norm_attn.weight',
)
# Families whose names start with "backbone.", except those of the head.
WITH_BACKBONE_PREFIX = ('mmvlfusion', 'mmpretrain')
# Families that store the word positions as a grid, (1, c, side, side).
WITH_GRID_POSITIONS = ('timm', 'mmpretrain')
# Families with one linear layer for query and key and another for the value.
WITH_SPLIT_QKV = ('huawei', 'timm')

# Beginnings of the names of a family and of this project. Placeholders are the
# same text on both sides: {i} index of the block, {level} "inner" or "outer",
# {k} "1" or "2".
PLACEHOLDERS = dict(i=r'\d+', level='inner|outer', k='[12]')
HUAWEI_NAMES = (
    ('cls_token', 'cls_token'),
    ('outer_pos', 'sentence_pos_embed'),
    ('inner_pos', 'word_pos_embed'),
    ('patch_embed.proj.', 'word_embed.projection.'),
    ('proj_norm{k}.', 'sentence_embed.norm{k}.'),
    ('proj.', 'sentence_embed.proj.'),
    ('norm.', 'norm.'),
    ('head.', 'head.fc.'),
    ('blocks.{i}.proj_norm{k}.', 'layers.{i}.to_sentence.norm{k}.'),
    ('blocks.{i}.proj.', 'layers.{i}.to_sentence.proj.'),
    ('blocks.{i}.se_layer.fc.', 'layers.{i}.outer.se.gate.'),
    ('blocks.{i}.{level}_norm{k}.', 'layers.{i}.{level}.norm{k}.'),
    ('blocks.{i}.{level}_attn.qkv.', 'layers.{i}.{level}.attn.qkv.'),
    ('blocks.{i}.{level}_attn.proj.', 'layers.{i}.{level}.attn.proj.'),
    ('blocks.{i}.{level}_mlp.fc1.', 'layers.{i}.{level}.ffn.layers.0.0.'),
    ('blocks.{i}.{level}_mlp.fc2.', 'layers.{i}.{level}.ffn.layers.1.'),
)
TIMM_NAMES = (
    ('cls_token', 'cls_token'),
    ('patch_pos', 'sentence_pos_embed'),
    ('pixel_pos', 'word_pos_embed'),
    ('pixel_embed.proj.', 'word_embed.projection.'),
    ('norm{k}_proj.', 'sentence_embed.norm{k}.'),
    ('proj.', 'sentence_embed.proj.'),
    ('norm.', 'norm.'),
    ('head.', 'head.fc.'),
    ('blocks.{i}.norm{k}_proj.', 'layers.{i}.to_sentence.norm{k}.'),
    ('blocks.{i}.proj.', 'layers.{i}.to_sentence.proj.'),
    ('blocks.{i}.norm_in.', 'layers.{i}.inner.norm1.'),
    ('blocks.{i}.attn_in.qkv.', 'layers.{i}.inner.attn.qkv.'),
    ('blocks.{i}.attn_in.proj.', 'layers.{i}.inner.attn.proj.'),
    ('blocks.{i}.norm_mlp_in.', 'layers.{i}.inner.norm2.'),
    ('blocks.{i}.mlp_in.fc1.', 'layers.{i}.inner.ffn.layers.0.0.'),
    ('blocks.{i}.mlp_in.fc2.', 'layers.{i}.inner.ffn.layers.1.'),
    ('blocks.{i}.norm_out.', 'layers.{i}.outer.norm1.'),
    ('blocks.{i}.attn_out.qkv.', 'layers.{i}.outer.attn.qkv.'),
    ('blocks.{i}.attn_out.proj.', 'layers.{i}.outer.attn.proj.'),
    ('blocks.{i}.norm_mlp.', 'layers.{i}.outer.norm2.'),
    ('blocks.{i}.mlp.fc1.', 'layers.{i}.outer.ffn.layers.0.0.'),
    ('blocks.{i}.mlp.fc2.', 'layers.{i}.outer.ffn.layers.1.'),
)
MMPRETRAIN_NAMES = (
    ('cls_token', 'cls_token'),
    ('patch_pos', 'sentence_pos_embed'),
    ('pixel_pos', 'word_pos_embed'),
    ('pixel_embed.proj.', 'word_embed.projection.'),
    ('norm{k}_proj.', 'sentence_embed.norm{k}.'),
    ('projection.', 'sentence_embed.proj.'),
    ('norm.', 'norm.'),
    ('head.fc.', 'head.fc.'),
    ('layers.{i}.norm_proj.', 'layers.{i}.to_sentence.norm1.'),
    ('layers.{i}.projection.', 'layers.{i}.to_sentence.proj.'),
    ('layers.{i}.{level}_block.norm_attn.', 'layers.{i}.{level}.norm1.'),
    ('layers.{i}.{level}_block.attn.attn.in_proj_', 'layers.{i}.{level}.attn.qkv.'),
    ('layers.{i}.{level}_block.attn.attn.out_proj.', 'layers.{i}.{level}.attn.proj.'),
    ('layers.{i}.{level}_block.norm_ffn.', 'layers.{i}.{level}.norm2.'),
    ('layers.{i}.{level}_block.ffn.layers.', 'layers.{i}.{level}.ffn.layers.'),
)
NAMES = dict(
    mmvlfusion=tuple((ours, ours) for _, ours in HUAWEI_NAMES),
    huawei=HUAWEI_NAMES,
    timm=TIMM_NAMES,
    mmpretrain=MMPRETRAIN_NAMES,
)
# The last rule gives all other names an empty one: they are dropped.
DROP_OTHERS = (r'^.*$', '')


def _make_rule(source: str, target: str) -> Tuple[str, str]:
    """Make a renaming rule (pattern, replacement) from two beginnings."""
    groups = {name: f'(?P<{name}>{text})' for name, text in PLACEHOLDERS.items()}
    references = {name: rf'\g<{name}>' for name in PLACEHOLDERS}
    pattern = source.replace('.', r'\.').format(**groups)
    return f'^{pattern}', target.format(**references)


def _rules_to_ours(family: str) -> Rules:
    """Make the rules from the names of a family to those of this project."""
    rules = [_make_rule(theirs, ours) for theirs, ours in NAMES[family]]
    return [*rules, DROP_OTHERS]


def _rules_from_ours(family: str) -> Rules:
    """Make the rules from the names of this project to those of a family."""
    rules = [_make_rule(ours, theirs) for theirs, ours in NAMES[family]]
    return [*rules, DROP_OTHERS]


def detect_family(weights: Weights) -> str:
    """Detect the implementation that a checkpoint is from.

    Args:
        weights (dict[str, torch.Tensor]): The state dict.

    Returns:
        str: One of ``FAMILIES``.

    Raises:
        ValueError: If it is from none of them.
    """
    for family, signature in SIGNATURES.items():
        if signature in weights or f'backbone.{signature}' in weights:
            return family
    raise ValueError(
        'Unknown checkpoint: expected a TNT checkpoint of '
        f'{", ".join(FAMILIES)}, which has one of the weights '
        f'{", ".join(SIGNATURES.values())}.'
    )


def _strip_prefixes(weights: Weights) -> Weights:
    """Remove ``backbone.``, and name the weights of the head ``head.fc.*``."""
    out = {}
    for name, value in weights.items():
        name = name.removeprefix('backbone.')
        name = re.sub(r'^head\.(fc\.|layers\.head\.)?', 'head.fc.', name)
        out[name] = value
    return out


def _join_qkv(weights: Weights) -> Weights:
    """Concatenate the ``qk`` and ``v`` weights of each attention to ``qkv``."""
    out = dict(weights)
    for name, value in weights.items():
        if '.qk.' in name:
            v_name = name.replace('.qk.', '.v.')
            del out[name]
            out[name.replace('.qk.', '.qkv.')] = torch.cat([value, out.pop(v_name)])
    return out


def _split_qkv(weights: Weights) -> Weights:
    """Split the ``qkv`` weights of each attention into ``qk`` and ``v``."""
    out = {}
    for name, value in weights.items():
        if '.qkv.' in name:
            query_key, v = value.split([2 * len(value) // 3, len(value) // 3])
            out[name.replace('.qkv.', '.qk.')] = query_key.clone()
            out[name.replace('.qkv.', '.v.')] = v.clone()
        else:
            out[name] = value
    return out


def _convert_word_positions(value: torch.Tensor, to: str) -> torch.Tensor:
    """Convert the word positions of any family to the layout of ``to``."""
    if value.ndim == 4:
        # (1, c, side, side) -> (1, m, c)
        value = value.flatten(2).transpose(1, 2)
    if to in WITH_GRID_POSITIONS:
        side = round(value.shape[1] ** 0.5)
        # (1, m, c) -> (1, c, side, side)
        value = value.transpose(1, 2).unflatten(2, (side, side))
    return value


def convert(weights: Weights, to: str) -> Tuple[Weights, List[str]]:
    """Convert the weights of a TNT.

    Args:
        weights (dict[str, torch.Tensor]): The state dict, of any family.
        to (str): One of ``FAMILIES``.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones.

    Raises:
        ValueError: If the family is unknown, or ``to`` has no such
            architecture.
    """
    source = detect_family(weights)
    if source in WITH_BACKBONE_PREFIX:
        weights = _strip_prefixes(weights)
    if source in WITH_SPLIT_QKV:
        weights = _join_qkv(weights)
    to_ours, from_ours = _rules_to_ours(source), _rules_from_ours(to)
    our_names = {name: rename(name, to_ours, 'TNT') for name in weights}
    if to == 'mmpretrain' and any(
        name.endswith('to_sentence.norm2.weight') for name in our_names.values()
    ):
        raise ValueError(
            'These are weights of the official variant, but the TNT of '
            'mmpretrain is the legacy variant: convert a checkpoint of the '
            'legacy variant, or choose another --to.'
        )
    out, dropped = {}, []
    for name, value in weights.items():
        our_name = our_names[name]
        new = rename(our_name, from_ours, 'TNT')
        if not new:
            dropped.append(name)
            continue
        if our_name == 'word_pos_embed':
            value = _convert_word_positions(value, to)
        if to in WITH_BACKBONE_PREFIX and not new.startswith('head.'):
            new = f'backbone.{new}'
        out[new] = value.contiguous()
    if to in WITH_SPLIT_QKV:
        out = _split_qkv(out)
    return out, dropped
