"""Convert DeiT and DeiT-III checkpoints for mmpretrain's VisionTransformer.

Reads the authors' files and timm's. DeiT-III gives its class token no position:
it becomes a position of zeros.
"""

import argparse
from typing import Dict

import torch
from mmengine.logging import print_log

from mmvlfusion.models.utils import load_state_dict, rename, save

RULES = (
    (r'^(cls_token|pos_embed)$', r'backbone.\1'),
    (r'^patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
    (r'^norm\.', 'backbone.ln1.'),
    (r'^head\.', 'head.layers.head.'),
    (r'^blocks\.(\d+)\.norm([12])\.', r'backbone.layers.\1.ln\2.'),
    (r'^blocks\.(\d+)\.attn\.', r'backbone.layers.\1.attn.'),
    (r'^blocks\.(\d+)\.mlp\.fc1\.', r'backbone.layers.\1.ffn.layers.0.0.'),
    (r'^blocks\.(\d+)\.mlp\.fc2\.', r'backbone.layers.\1.ffn.layers.1.'),
    (
        r'^blocks\.(\d+)\.(gamma_1|ls1\.gamma)$',
        r'backbone.layers.\1.attn.gamma1.weight',
    ),
    (r'^blocks\.(\d+)\.(gamma_2|ls2\.gamma)$', r'backbone.layers.\1.ffn.gamma2.weight'),
)


def convert(weights: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """Rename the weights of a DeiT.

    Raises:
        ValueError: If a name is none of a DeiT's.
    """
    model = 'DeiT or DeiT-III (distilled ones are not supported)'
    out = {rename(k, RULES, model): value for k, value in weights.items()}
    positions = out.get('backbone.pos_embed')
    if (
        positions is not None
        and round(positions.shape[1] ** 0.5) ** 2 == positions.shape[1]
    ):
        out['backbone.pos_embed'] = torch.cat(
            [torch.zeros_like(positions[:, :1]), positions], dim=1
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    args = parser.parse_args()
    weights = convert(load_state_dict(args.src))
    save(dict(state_dict=weights), args.dst)
    print_log(f'{args.dst}: all {len(weights)} weights were carried over.')


if __name__ == '__main__':
    main()
