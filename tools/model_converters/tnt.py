"""Convert TNT checkpoints between implementations.

Reads Huawei's, timm's (both variants), mmpretrain's and our own files, writes
any of them, and reports what was not carried over.
"""

import argparse
from typing import Dict, List, Tuple

import torch
from mmengine.logging import print_log

from mmvlfusion.models.utils import load_state_dict, save

FAMILIES = ('mmvlfusion', 'huawei', 'timm', 'mmpretrain')
Weights = Dict[str, torch.Tensor]

# Beginnings of names, in the order of FAMILIES.
STEM = [
    ('cls_token',) * 4,
    ('sentence_pos_embed', 'outer_pos', 'patch_pos', 'patch_pos'),
    ('word_pos_embed', 'inner_pos', 'pixel_pos', 'pixel_pos'),
    (
        'word_embed.projection.',
        'patch_embed.proj.',
        'pixel_embed.proj.',
        'pixel_embed.proj.',
    ),
    ('sentence_embed.norm1.', 'proj_norm1.', 'norm1_proj.', 'norm1_proj.'),
    ('sentence_embed.proj.', 'proj.', 'proj.', 'projection.'),
    ('sentence_embed.norm2.', 'proj_norm2.', 'norm2_proj.', 'norm2_proj.'),
    ('norm.',) * 4,
]
# The same within a block.
BLOCK = [
    ('to_sentence.norm1.', 'proj_norm1.', 'norm1_proj.', 'norm_proj.'),
    ('to_sentence.proj.', 'proj.', 'proj.', 'projection.'),
    ('to_sentence.norm2.', 'proj_norm2.', 'norm2_proj.', None),
    ('outer.se.gate.', 'se_layer.fc.', None, None),
]
for level, timm_attn, timm_norm2, timm_mlp in (
    ('inner', 'attn_in', 'norm_mlp_in', 'mlp_in'),
    ('outer', 'attn_out', 'norm_mlp', 'mlp'),
):
    timm_norm1 = timm_attn.replace('attn', 'norm')
    block = f'{level}_block.'
    BLOCK += [
        (f'{level}.norm1.', f'{level}_norm1.', f'{timm_norm1}.', f'{block}norm_attn.'),
        (
            f'{level}.attn.qkv.',
            f'{level}_attn.qkv.',
            f'{timm_attn}.qkv.',
            f'{block}attn.attn.in_proj_',
        ),
        (
            f'{level}.attn.proj.',
            f'{level}_attn.proj.',
            f'{timm_attn}.proj.',
            f'{block}attn.attn.out_proj.',
        ),
        (f'{level}.norm2.', f'{level}_norm2.', f'{timm_norm2}.', f'{block}norm_ffn.'),
        (
            f'{level}.ffn.layers.0.0.',
            f'{level}_mlp.fc1.',
            f'{timm_mlp}.fc1.',
            f'{block}ffn.layers.0.0.',
        ),
        (
            f'{level}.ffn.layers.1.',
            f'{level}_mlp.fc2.',
            f'{timm_mlp}.fc2.',
            f'{block}ffn.layers.1.',
        ),
    ]
BLOCK_LIST = ('layers.', 'blocks.', 'blocks.', 'layers.')
HEAD = ('head.fc.', 'head.', 'head.', 'head.fc.')
# A name that only this family has.
SIGNATURES = (
    'word_embed.projection.weight',
    'patch_embed.proj.weight',
    'blocks.0.attn_out.proj.weight',
    'layers.0.outer_block.norm_attn.weight',
)
MM = ('mmvlfusion', 'mmpretrain')  # Families with a prefix of the backbone.
# The words' positions lie on a grid, channels first.
GRID_POSITIONS = ('timm', 'mmpretrain')
# Query and key share a linear layer, the value has its own.
SPLIT_QKV = ('huawei', 'timm')


def detect_family(weights: Weights) -> str:
    """Tell whose checkpoint it is.

    Raises:
        ValueError: If it is none of the known ones.
    """
    for family, signature in zip(FAMILIES, SIGNATURES):
        if signature in weights or f'backbone.{signature}' in weights:
            return family
    raise ValueError(
        f'This is no TNT of {", ".join(FAMILIES)}: none of the names '
        f'{", ".join(SIGNATURES)} is in it.'
    )


def _rename(name: str, source: int, target: int) -> str:
    """Translate a name; an empty string if the target has no such weight."""
    if name.startswith(BLOCK_LIST[source]):
        index, rest = name[len(BLOCK_LIST[source]) :].split('.', 1)
        table, start = BLOCK, f'{BLOCK_LIST[target]}{index}.'
    else:
        table, rest, start = STEM, name, ''
    for row in table:
        if row[source] is not None and rest.startswith(row[source]):
            if row[target] is None:
                return ''
            return start + row[target] + rest[len(row[source]) :]
    return ''


def _strip(weights: Weights, family: str) -> Weights:
    """Take off the backbone's prefix; heads become ``head.*``."""
    out = {}
    for name, value in weights.items():
        if family in MM:
            name = name.removeprefix('backbone.')
            for head in ('head.fc.', 'head.layers.head.'):
                if name.startswith(head):
                    name = 'head.' + name[len(head) :]
        out[name] = value
    return out


def _join_qkv(weights: Weights) -> Weights:
    out = dict(weights)
    for name, value in weights.items():
        if '.qk.' in name:
            other = name.replace('.qk.', '.v.')
            del out[name]
            out[name.replace('.qk.', '.qkv.')] = torch.cat([value, out.pop(other)])
    return out


def _split_qkv(weights: Weights) -> Weights:
    out = {}
    for name, value in weights.items():
        if '.qkv.' in name:
            query_key, v = value.split([2 * len(value) // 3, len(value) // 3])
            out[name.replace('.qkv.', '.qk.')] = query_key.clone()
            out[name.replace('.qkv.', '.v.')] = v.clone()
        else:
            out[name] = value
    return out


def convert(weights: Weights, to: str) -> Tuple[Weights, List[str]]:
    """Convert the weights of a TNT.

    Args:
        weights (dict[str, torch.Tensor]): A checkpoint's state dict, of any
            family.
        to (str): One of ``FAMILIES``.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights, and
        the names that were not carried over.

    Raises:
        ValueError: If the family is unknown, or the target has no such
            architecture.
    """
    source = detect_family(weights)
    weights = _strip(weights, source)
    if source in SPLIT_QKV:
        weights = _join_qkv(weights)
    if to == 'mmpretrain' and any(
        _rename(name, FAMILIES.index(source), 0).endswith('to_sentence.norm2.weight')
        for name in weights
    ):
        raise ValueError(
            "mmpretrain's TNT is the legacy variant, and these are weights of "
            'the official one: they cannot be converted to it.'
        )
    out, dropped = {}, []
    for name, value in weights.items():
        if name.startswith('head.'):
            new = HEAD[FAMILIES.index(to)] + name[len('head.') :]
        else:
            new = _rename(name, FAMILIES.index(source), FAMILIES.index(to))
            if not new:
                dropped.append(name)
                continue
            if 'pos' in name and value.ndim > 3:
                value = value.flatten(2).transpose(1, 2)
            if new == 'pixel_pos' and to in GRID_POSITIONS:
                side = round(value.shape[1] ** 0.5)
                value = value.transpose(1, 2).unflatten(2, (side, side))
            if to in MM:
                new = f'backbone.{new}'
        out[new] = value.contiguous()
    if to in SPLIT_QKV:
        out = _split_qkv(out)
    return out, dropped


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--to',
        choices=FAMILIES,
        default='mmvlfusion',
        help='implementation to write for',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    weights = load_state_dict(args.src)
    source = detect_family(weights)
    out, dropped = convert(weights, args.to)
    save(dict(state_dict=out) if args.to in MM else out, args.dst)
    print_log(
        f'{args.dst}: {len(out)} weights for {args.to}, from '
        f'{len(weights)} of {source}.'
    )
    if dropped:
        print_log(f'Not carried over: {", ".join(sorted(dropped))}')


if __name__ == '__main__':
    main()
