"""Convert TNT checkpoints between implementations.

Input: a checkpoint of Huawei's code, timm (both variants), mmpretrain or this
project. The implementation is detected from the names of the weights.
Output: a checkpoint for any of these implementations. The weights that it
lacks are reported as dropped.

Example:

    python tools/model_converters/tnt.py tnt_s_81.5.pth.tar tnt-small.pth
"""

import argparse

from mmengine.logging import print_log

from mmvlfusion.models.backbones.tnt.conversion import (
    FAMILIES,
    WITH_BACKBONE_PREFIX,
    convert,
    detect_family,
)
from mmvlfusion.models.utils import load_state_dict, save_converted


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
        '--to',
        choices=FAMILIES,
        default='mmvlfusion',
        help='implementation that the output is for (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Convert the checkpoint of the command line."""
    args = parse_args()
    weights = load_state_dict(args.src)
    out, dropped = convert(weights, args.to)
    print_log(f'Converted from {detect_family(weights)} to {args.to}.')
    key = 'state_dict' if args.to in WITH_BACKBONE_PREFIX else None
    save_converted(out, dropped, args.dst, key)


if __name__ == '__main__':
    main()
