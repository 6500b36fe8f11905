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
        configs/tnt/tnt-small-p16_8xb128-300e_in1k.py --shape 224
"""

import argparse
import os.path as osp
from typing import NamedTuple, Optional

from mmengine.config import Config, DictAction

from mmvlfusion.analysis.complexity import (
    CONVENTIONS,
    Complexity,
    example_call,
    measure,
)
from mmvlfusion.apis.build import build_model

CONFIGS = osp.join(osp.dirname(__file__), '../../configs')


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name (str): Name of the model.
        config (str): Its config.
        params (float, optional): Published number of parameters in millions.
        cost (float, optional): Published number of operations in billions.
        convention (str): How the paper counts operations.
        options (dict): Settings that override those of the config.
        side (int): Side of the square input in pixels.
    """

    name: str
    config: str
    params: Optional[float]
    cost: Optional[float]
    convention: str = 'macs'
    options: dict = {}
    side: int = 224


def _words(channels: int, size: int, heads: int) -> dict:
    """Make the options of a TNT-S with other words (paper Table 8)."""
    arch = dict(
        _delete_=True,
        embed_dims_outer=384,
        embed_dims_inner=channels,
        num_layers=12,
        num_heads_outer=6,
        num_heads_inner=heads,
        word_size=size,
    )
    return {'model.backbone.arch': arch}


def _tnt(
    name: str, config: str, params: Optional[float], cost: Optional[float], **options
) -> Row:
    """Make the row of a TNT classifier."""
    options['model.backbone.cls_only_last_block'] = False
    return Row(
        name, f'tnt/{config}-p16_8xb128-300e_in1k.py', params, cost, options=options
    )


TABLE = [
    _tnt('TNT-Ti', 'tnt-tiny', 6.1, 1.4),
    _tnt('TNT-S', 'tnt-small', 23.8, 5.2),
    _tnt('TNT-B', 'tnt-base', 65.6, 14.1),
    _tnt('TNT-S-1', 'tnt-small-1', None, 4.8),
    _tnt('TNT-S-2', 'tnt-small-2', None, 4.7),
    _tnt('TNT-S-3', 'tnt-small-3', None, 4.7),
    _tnt('TNT-S-4', 'tnt-small-4', None, 4.6),
    _tnt('TNT-S with SE', 'tnt-small-se', 24.7, None),
    _tnt('TNT-S, m=64, c=6', 'tnt-small', 23.8, 5.1, **_words(6, 2, 2)),
    _tnt('TNT-S, m=4, c=96', 'tnt-small', 25.1, 6.0, **_words(96, 8, 4)),
    Row('DeiT-S', 'tnt/deit-small-p16_8xb128-300e_in1k.py', 22.1, 4.6),
    Row(
        'Trans2Seg, TNT-S',
        'tnt/trans2seg_tnt-small-p16_4xb4-40k_ade20k-512px.py',
        32.1,
        30.4,
        'macs-no-attention',
        side=512,
    ),
    Row(
        'Trans2Seg, DeiT-S',
        'tnt/trans2seg_deit-small-p16_4xb4-40k_ade20k-512px.py',
        30.3,
        27.2,
        'macs-no-attention',
        side=512,
    ),
    Row(
        'Faster R-CNN, TNT-S',
        'tnt/faster-rcnn_tnt-small-p16_fpn_8xb2-12e_coco.py',
        48.1,
        None,
        side=512,
    ),
    Row(
        'Faster R-CNN, DeiT-S',
        'tnt/faster-rcnn_deit-small-p16_fpn_8xb2-12e_coco.py',
        46.4,
        None,
        side=512,
    ),
    Row(
        'PELA, DeiT-B',
        'pela/pela-r2_deit-base-p16_4xb64-50e_in1k.py',
        44.1,
        17.0,
        'flops-no-attention',
    ),
    Row(
        'PELA, DeiT-III-L',
        'pela/pela-r2_deit3-large-p16_4xb16-20e_in1k.py',
        153.2,
        59.8,
        'flops-no-attention',
    ),
    Row(
        'PELA, Swin-B',
        'pela/pela-r1.5_swin-base_4xb64-50e_in1k.py',
        62.2,
        21.3,
        'flops-no-attention',
    ),
    Row(
        'PELA, TNT-S',
        'pela/pela-r2_tnt-small-p16_4xb64-50e_in1k.py',
        None,
        None,
        'flops-no-attention',
    ),
    Row(
        'PELA, TNT-B',
        'pela/pela-r2_tnt-base-p16_4xb64-50e_in1k.py',
        None,
        None,
        'flops-no-attention',
    ),
]


def complexity_of(row: Row) -> Complexity:
    """Count the operations of a row.

    Args:
        row (Row): The row.

    Returns:
        Complexity: Size and cost of one forward pass.
    """
    cfg = Config.fromfile(osp.join(CONFIGS, row.config))
    cfg.merge_from_dict(row.options)
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
        default=[224, 224],
        help='height and width of the image in pixels, or one number for both',
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
    if len(args.shape) > 2 or min(args.shape) < 1:
        parser.error(f'--shape takes one or two positive numbers, got {args.shape}')
    if len(args.shape) == 1:
        args.shape = args.shape * 2
    return args


def print_table() -> None:
    """Print ``TABLE`` in Markdown, with counted and published numbers."""
    print(
        '| model | input | params (M) | published | cost (G) | published '
        '| counted |\n|---|---|---|---|---|---|---|'
    )
    for row in TABLE:
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
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = build_model(cfg)
    counts = measure(model, example_call(model, cfg, args.shape))
    height, width = args.shape
    print(
        f'input       {height} x {width}\n'
        f'parameters  {counts.params / 1e6:.4g} M\n'
        f'{args.convention:<11} '
        f'{counts.operations(args.convention) / 1e9:.4g} G'
    )


if __name__ == '__main__':
    main()
