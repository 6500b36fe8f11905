"""Convert Swin checkpoints for the SwinTransformer of mmpretrain.

Reads the authors' files and timm's.
"""

import argparse
import re
from typing import Dict, List, Tuple

import torch
from mmengine.logging import print_log

from mmvlfusion.models.utils import load_state_dict, rename, save

BLOCK = r'^layers\.(\d+)\.blocks\.(\d+)\.'
RULES = (
    (r'^patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
    (r'^patch_embed\.norm\.', 'backbone.patch_embed.norm.'),
    (r'^norm\.', 'backbone.norm3.'),
    (r'^head\.(fc\.)?', 'head.fc.'),
    (r'^layers\.(\d+)\.downsample\.', r'backbone.stages.\1.downsample.'),
    (BLOCK + r'(norm[12])\.', r'backbone.stages.\1.blocks.\2.\3.'),
    (BLOCK + r'attn\.', r'backbone.stages.\1.blocks.\2.attn.w_msa.'),
    (BLOCK + r'mlp\.fc1\.', r'backbone.stages.\1.blocks.\2.ffn.layers.0.0.'),
    (BLOCK + r'mlp\.fc2\.', r'backbone.stages.\1.blocks.\2.ffn.layers.1.'),
)


def _to_unfold_order(value: torch.Tensor) -> torch.Tensor:
    """From the authors' order of four merged patches, channels last, to that
    of ``nn.Unfold``, channels first; the last axis has 4C entries."""
    patches = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return patches.transpose(-1, -2).flatten(-2).contiguous()


def convert(
    weights: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """Rename the weights of a Swin.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The weights, and the names
        of buffers that were left out.

    Raises:
        ValueError: If a name is none of a Swin's.
    """
    # timm merges patches at the start of a stage, the others at the end.
    timm = 'layers.3.downsample.norm.weight' in weights
    out, dropped = {}, []
    for name, value in weights.items():
        if name.endswith('.attn_mask'):
            dropped.append(name)
            continue
        new = rename(name, RULES, 'Swin transformer')
        if '.downsample.' in name:
            value = _to_unfold_order(value)
            if timm:
                new = re.sub(r'stages\.(\d+)', lambda m: f'stages.{int(m[1]) - 1}', new)
        out[new] = value
    return out, dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    args = parser.parse_args()
    weights, dropped = convert(load_state_dict(args.src))
    save(dict(state_dict=weights), args.dst)
    print_log(f'{args.dst}: {len(weights)} weights were carried over.')
    if dropped:
        print_log(f'Not carried over: {", ".join(sorted(dropped))}')


if __name__ == '__main__':
    main()
