"""Convert DeiT and DeiT-III checkpoints for mmpretrain's VisionTransformer.

Input: a checkpoint of the authors' code or of timm, or a low-rank one of PELA's
released code.
Output: a checkpoint of mmpretrain's ``ImageClassifier``, for a low-rank one with
``mmvlfusion.LowRank``. DeiT-III has no
position embedding for the class token; a zero embedding is added for it.

Example:

    python tools/model_converters/deit.py \\
        deit_small_patch16_224-cd65a155.pth deit-small-p16_in1k.pth
"""

import argparse
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
RULES = (
    (r'^(cls_token|pos_embed)$', r'backbone.\1'),
    (r'^patch_embed\.proj\.' + LEAF, 'backbone.patch_embed.projection.'),
    (r'^norm\.' + LEAF, 'backbone.ln1.'),
    (r'^head\.' + LEAF, 'head.layers.head.'),
    (r'^blocks\.(\d+)\.norm([12])\.' + LEAF, r'backbone.layers.\1.ln\2.'),
    (
        r'^blocks\.(\d+)\.attn\.(qkv|proj)\.' + LINEAR,
        r'backbone.layers.\1.attn.\2.',
    ),
    (r'^blocks\.(\d+)\.mlp\.fc1\.' + LINEAR, r'backbone.layers.\1.ffn.layers.0.0.'),
    (r'^blocks\.(\d+)\.mlp\.fc2\.' + LINEAR, r'backbone.layers.\1.ffn.layers.1.'),
    (
        r'^blocks\.(\d+)\.(gamma_1|ls1\.gamma)$',
        r'backbone.layers.\1.attn.gamma1.weight',
    ),
    (r'^blocks\.(\d+)\.(gamma_2|ls2\.gamma)$', r'backbone.layers.\1.ffn.gamma2.weight'),
)


def convert(
    weights: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """Convert the weights of a DeiT.

    Args:
        weights (dict[str, torch.Tensor]): The state dict.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones, which are none.

    Raises:
        ValueError: If a name is not one of a DeiT.
    """
    model = 'DeiT or DeiT-III (distilled models are not supported)'
    out = {
        rename(rename_factors(name), RULES, model): value
        for name, value in weights.items()
    }
    positions = out.get('backbone.pos_embed')
    if positions is not None:
        num_positions = positions.shape[1]
        # A square number of positions has none for the class token.
        if round(num_positions**0.5) ** 2 == num_positions:
            # (1, N, D) -> (1, 1 + N, D)
            out['backbone.pos_embed'] = torch.cat(
                [torch.zeros_like(positions[:, :1]), positions], dim=1
            )
    return out, []


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
