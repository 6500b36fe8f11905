"""Convert VSSD checkpoints of the authors' code for mmvlfusion.VSSD.

Input: a released file or a training checkpoint of the authors' classifier, or
the weights of a backbone of their detectors.
Output: a checkpoint of mmpretrain's ``ImageClassifier``. The EMA weights are
converted where the file has them.

Example:

    python tools/model_converters/vssd.py vssd_tiny_best_ema.pth vssd-tiny_in1k.pth
"""

import argparse
from typing import Dict, List, Tuple

import torch

from mmvlfusion.models.utils import load_state_dict, rename, save_converted

BLOCK = r'^layers\.(\d+)\.blocks\.(\d+)\.'
OUR_BLOCK = r'backbone.stages.\1.blocks.\2.'
RULES = (
    (r'^patch_embed\.(conv\d(?:\.\d)?)\.conv\.', r'backbone.stem.\1.0.'),
    (r'^patch_embed\.(conv\d(?:\.\d)?)\.norm\.', r'backbone.stem.\1.1.'),
    (BLOCK + r'cpe([12])\.', OUR_BLOCK + r'conv\3.'),
    (BLOCK + r'(norm[12])\.', OUR_BLOCK + r'\3.'),
    (BLOCK + r'attn\.to_qkv\.', OUR_BLOCK + 'attn.qkv.'),
    (BLOCK + r'attn\.to_out\.', OUR_BLOCK + 'attn.proj.'),
    (BLOCK + r'attn\.conv2d\.', OUR_BLOCK + 'attn.conv.'),
    (BLOCK + r'attn\.dt_bias$', OUR_BLOCK + 'attn.step_bias'),
    (BLOCK + r'attn\.A_log$', OUR_BLOCK + 'attn.log_rate'),
    (BLOCK + r'attn\.D$', OUR_BLOCK + 'attn.skip'),
    (BLOCK + r'attn\.(in_proj|norm|out_proj)\.', OUR_BLOCK + r'attn.\3.'),
    (BLOCK + r'mlp\.fc1\.', OUR_BLOCK + 'ffn.layers.0.0.'),
    (BLOCK + r'mlp\.fc2\.', OUR_BLOCK + 'ffn.layers.1.'),
    (r'^outnorm(\d)\.', r'backbone.norm\1.'),
    (r'^norm\.', 'backbone.norm3.'),
    (r'^head\.', 'head.fc.'),
)
# The authors merge maps at the end of a stage, this project at its start.
MERGE = r'^layers\.{old}\.downsample\.conv\.(\d)\.{part}\.'
MERGE_RULES = tuple(
    (
        MERGE.format(old=stage - 1, part=part),
        rf'backbone.stages.{stage}.merge.\1.{index}.',
    )
    for stage in (1, 2, 3)
    for index, part in enumerate(('conv', 'norm'))
)


def convert(
    weights: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """Convert the weights of a VSSD.

    Args:
        weights (dict[str, torch.Tensor]): The state dict.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones, which are none.

    Raises:
        ValueError: If a name is not one of a VSSD.
    """
    rules = (*RULES, *MERGE_RULES)
    return {rename(name, rules, 'VSSD'): value for name, value in weights.items()}, []


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
    parser.add_argument(
        '--raw',
        action='store_true',
        help='convert the last weights of the optimizer instead of their EMA',
    )
    return parser.parse_args()


def main() -> None:
    """Convert the checkpoint of the command line."""
    args = parse_args()
    first = () if args.raw else ('model_ema',)
    weights, dropped = convert(load_state_dict(args.src, first))
    save_converted(weights, dropped, args.dst)


if __name__ == '__main__':
    main()
