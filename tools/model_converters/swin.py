"""Convert Swin checkpoints for mmpretrain's SwinTransformer.

Input: a checkpoint of the authors' code or of timm, or a low-rank one of PELA's
released code.
Output: a checkpoint of mmpretrain's ``ImageClassifier``, for a low-rank one with
``mmvlfusion.LowRank``. The attention masks
of the authors' files are reported as dropped: they are computed from the image
size.

Example:

    python tools/model_converters/swin.py \\
        swin_base_patch4_window7_224.pth swin-base_in1k.pth
"""

import argparse
import re
from typing import Dict, List, Tuple

import torch

from mmvlfusion.models.utils import (
    load_state_dict,
    rename,
    rename_factors,
    save_converted,
)

# Ends of the names of a norm or convolution, and of a linear layer, dense or
# low-rank.
LEAF = r'(?=(weight|bias)$)'
LINEAR = r'(?=(weight|bias|down|up)$)'
BLOCK = r'^layers\.(\d+)\.blocks\.(\d+)\.'
# A weight whose new name is empty is dropped.
RULES = (
    (r'^.*\.attn_mask$', ''),
    (r'^patch_embed\.proj\.' + LEAF, 'backbone.patch_embed.projection.'),
    (r'^patch_embed\.norm\.' + LEAF, 'backbone.patch_embed.norm.'),
    (r'^norm\.' + LEAF, 'backbone.norm3.'),
    (r'^head\.(fc\.)?' + LEAF, 'head.fc.'),
    (
        r'^layers\.(\d+)\.downsample\.(norm|reduction)\.' + LEAF,
        r'backbone.stages.\1.downsample.\2.',
    ),
    (BLOCK + r'(norm[12])\.' + LEAF, r'backbone.stages.\1.blocks.\2.\3.'),
    (
        BLOCK + r'attn\.(relative_position_(?:bias_table|index))$',
        r'backbone.stages.\1.blocks.\2.attn.w_msa.\3',
    ),
    (
        BLOCK + r'attn\.(qkv|proj)\.' + LINEAR,
        r'backbone.stages.\1.blocks.\2.attn.w_msa.\3.',
    ),
    (BLOCK + r'mlp\.fc1\.' + LINEAR, r'backbone.stages.\1.blocks.\2.ffn.layers.0.0.'),
    (BLOCK + r'mlp\.fc2\.' + LINEAR, r'backbone.stages.\1.blocks.\2.ffn.layers.1.'),
)


def _to_unfold_order(value: torch.Tensor) -> torch.Tensor:
    """Reorder the last axis (4C) of a patch merging weight.

    The authors concatenate the four merged patches channels last;
    ``nn.Unfold`` returns them channels first.
    """
    # (..., 4C) -> (..., 4, C), with the patches in the order of nn.Unfold
    patches = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    # (..., 4, C) -> (..., C * 4)
    return patches.transpose(-1, -2).flatten(-2).contiguous()


def convert(
    weights: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """Convert the weights of a Swin transformer.

    Args:
        weights (dict[str, torch.Tensor]): The state dict.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones.

    Raises:
        ValueError: If a name is not one of a Swin transformer.
    """
    # timm merges patches at the start of a stage, the authors at its end.
    is_timm = 'layers.3.downsample.norm.weight' in weights
    out, dropped = {}, []
    for name, value in weights.items():
        new = rename(rename_factors(name), RULES, 'Swin transformer')
        if not new:
            dropped.append(name)
            continue
        if '.downsample.' in name:
            value = _to_unfold_order(value)
            if is_timm:
                new = re.sub(r'stages\.(\d+)', lambda m: f'stages.{int(m[1]) - 1}', new)
        out[new] = value
    return out, dropped


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    return parser.parse_args()


def main() -> None:
    """Convert the checkpoint of the command line."""
    args = parse_args()
    weights, dropped = convert(load_state_dict(args.src))
    save_converted(weights, dropped, args.dst)


if __name__ == '__main__':
    main()
