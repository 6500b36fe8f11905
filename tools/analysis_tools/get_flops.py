"""Count the parameters and operations of models.

Input: a config, or ``--table`` for the models of this project.
Output: parameters and operations of one forward pass; with ``--table`` a table
with the published numbers next to the counted ones.

Conventions differ among papers. ``macs`` counts multiply-accumulates, ``flops``
counts each as two operations, and ``-no-attention`` omits the matmuls between
activations. TNT uses ``macs`` in Table 1 and ``macs-no-attention`` in Table 11,
PELA uses ``flops-no-attention`` in Table 1. Norms, activation functions and
softmax are never counted. The table counts the classifiers of TNT as published,
where the last block updates all tokens. A config is counted as it runs, see
``cls_only_last_block``.

Example:

    python tools/analysis_tools/get_flops.py \\
        configs/tnt/tnt-small-p16_8xb128-300e_in1k.py --shape 384
"""

import argparse
from tempfile import TemporaryDirectory

from mmengine.config import DictAction

from mmvlfusion.analysis.complexity import (
    CONVENTIONS,
    Complexity,
    example_call,
    measure,
    resolve_shape,
)
from mmvlfusion.analysis.published import (
    PublishedSize,
    config_of,
    load_published_sizes,
)
from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.options import read_config


def complexity_of(row: PublishedSize) -> Complexity:
    """Count the operations of a model whose size is published.

    Args:
        row (PublishedSize): The model.

    Returns:
        Complexity: Size and cost of one forward pass.
    """
    with TemporaryDirectory() as folder:
        cfg = config_of(row, folder)
        model = build_model(cfg)
    return measure(model, example_call(model, cfg, [row.side] * 2))


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        help='height and width of the image in pixels, or one number for both '
        '(default: the input size of the config, or 224)',
    )
    parser.add_argument(
        '--convention',
        choices=CONVENTIONS,
        default='macs',
        help='how operations are counted (default: %(default)s)',
    )
    parser.add_argument(
        '--table',
        action='store_true',
        help='print the models of this project with their published numbers',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override, as key=value',
    )
    args = parser.parse_args()
    has_config = args.config is not None
    if args.table == has_config:
        parser.error('expected either a config or --table')
    if args.shape and (len(args.shape) > 2 or min(args.shape) < 1):
        parser.error(f'--shape takes one or two positive numbers, got {args.shape}')
    return args


def print_table() -> None:
    """Print the models of the metafiles, with counted and published numbers."""
    print(
        '| model | input | params (M) | published | cost (G) | published '
        '| counted |\n|---|---|---|---|---|---|---|'
    )
    for row in load_published_sizes():
        counts = complexity_of(row)
        cost = counts.operations(row.convention)
        print(
            f'| {row.name} | {row.side} | {counts.params / 1e6:.2f} '
            f'| {row.params or "-"} | {cost / 1e9:.2f} | {row.cost or "-"} '
            f'| {row.convention} |'
        )


def main() -> None:
    """Count a config or all rows of the table."""
    args = parse_args()
    if args.table:
        print_table()
        return
    cfg = read_config(args.config, args.cfg_options)
    model = build_model(cfg)
    height, width = resolve_shape(args.shape, cfg)
    try:
        counts = measure(model, example_call(model, cfg, (height, width)))
    except Exception as error:
        raise ValueError(
            f'The model does not run on a blank image of {height} x {width} pixels: '
            f'{error}\nIf it has another image size, set --shape.'
        ) from error
    print(
        f'input       {height} x {width}\n'
        f'parameters  {counts.params / 1e6:.4g} M\n'
        f'{args.convention:<11} '
        f'{counts.operations(args.convention) / 1e9:.4g} G'
    )


if __name__ == '__main__':
    main()
