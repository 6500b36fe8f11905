"""Cost of the fusions against image size, width and depth.

Multiply-accumulates and parameters are counted without running anything; with
``--run`` a training step is run for its time and peak memory as well, or the
inference of a batch, all fusions in turn. A map of stride 16 and a text of 32
tokens are fused; backbone and text encoder are not counted.

    python tools/analysis_tools/fusion_scaling.py --img-size 224 448 896
    python tools/analysis_tools/fusion_scaling.py --run --fusions joint concat
    python tools/analysis_tools/fusion_scaling.py --run inference --depth 12 \\
        --img-size 384 --fusions skip_connected concat --stride 1 2 3 5
"""

import argparse
import json
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List

import torch
from mmengine.registry import MODELS
from torch import nn

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.analysis.profiling import peak_memory, time_call
from mmvlfusion.models.multimodal.fusion.skip_connected import connected_layers

FUSIONS = dict(
    joint='mmvlfusion.JointAdaptiveFusion',
    perceiver='mmvlfusion.PerceiverFusion',
    co_tokenization='mmvlfusion.CoTokenizationFusion',
    skip_connected='mmvlfusion.SkipConnectedFusion',
    cross_attention='mmvlfusion.CrossAttentionFusion',
    concat='mmvlfusion.ConcatFusion',
)
# GFLOPs of whole models at the base setting (JAR, Tables 2 and 3).
PUBLISHED = dict(joint=38.9, perceiver=40.3, co_tokenization=43.8, concat=58.4)
PATCH, TEXT_LENGTH = 16, 32


def build(
    name: str, options: Dict[str, Any], width: int, depth: int, device: str
) -> nn.Module:
    """A fusion with heads of 64 channels."""
    with torch.device(device):
        return MODELS.build(
            dict(
                type=FUSIONS[name],
                embed_dims=width,
                image_channels=width,
                num_heads=width // 64,
                num_layers=depth,
                **options,
            )
        )


def make_inputs(width: int, size: int, batch: int, device: str) -> List[torch.Tensor]:
    cells = (size // PATCH) ** 2
    return [
        torch.randn(batch, length, width, device=device)
        for length in (TEXT_LENGTH, cells)
    ]


def count(
    name: str, options: Dict[str, Any], size: int, width: int, depth: int
) -> Dict[str, float]:
    """Parameters and multiply-accumulates, on shapes alone."""
    fusion = build(name, options, width, depth, 'meta')
    inputs = make_inputs(width, size, 1, 'meta')
    counts = measure(fusion, lambda: fusion(*inputs))
    return dict(params=counts.params, macs=counts.operations('macs'))


def make_step(
    fusion: nn.Module, inputs: List[torch.Tensor], mode: str
) -> Callable[[], None]:
    """What is timed: a training step without the optimizer, or inference."""
    fusion.train(mode == 'training')

    def train() -> None:
        fusion(*inputs).tokens.square().mean().backward()
        fusion.zero_grad()

    @torch.inference_mode()
    def infer() -> None:
        fusion(*inputs)

    return train if mode == 'training' else infer


def run(rows: List[dict], args: argparse.Namespace) -> None:
    """Add to the rows of one setting the median seconds of a step, all fusions
    in turn, and in training its peak MiB above the weights: activations and
    gradients."""
    steps = []
    for row in rows:
        inputs = make_inputs(
            row['width'], row['img_size'], args.batch_size, args.device
        )
        fusion = build(
            row['name'], row['options'], row['width'], row['depth'], args.device
        )
        steps.append(make_step(fusion, inputs, args.run))
        steps[-1]()
    times = [
        [time_call(step, args.device) for step in steps] for _ in range(args.rounds)
    ]
    for row, step, own in zip(rows, steps, zip(*times)):
        row['seconds'] = median(own)
        if args.run == 'training':
            row['memory'] = peak_memory(step, args.device)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--fusions', nargs='+', choices=list(FUSIONS), default=list(FUSIONS)
    )
    parser.add_argument(
        '--img-size',
        nargs='+',
        type=int,
        default=[224, 336, 448, 672, 896],
        help='sides of square images in pixels',
    )
    parser.add_argument('--width', nargs='+', type=int, default=[768])
    parser.add_argument('--depth', nargs='+', type=int, default=[32])
    parser.add_argument(
        '--stride',
        nargs='+',
        type=int,
        default=[3],
        help='strides of the skip-connected fusion',
    )
    parser.add_argument(
        '--run',
        nargs='?',
        const='training',
        choices=['training', 'inference'],
        help='run a step of each',
    )
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--rounds', type=int, default=3, help='runs of which the median counts'
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument('--out', type=Path, help='folder of table and plots')
    args = parser.parse_args()
    for name, least in (('img_size', PATCH), ('width', 64), ('depth', 4)):
        if min(getattr(args, name)) < least:
            parser.error(f'--{name.replace("_", "-")} must be {least} or more')
    if any(width % 64 for width in args.width):
        parser.error('--width must be a multiple of 64')
    if 'skip_connected' in args.fusions:
        for depth, stride in product(args.depth, args.stride):
            try:
                connected_layers(depth, stride, 'paper')
            except ValueError as error:
                parser.error(f'--stride {stride}, --depth {depth}: {error}')
    return args


def draw(rows: List[dict], out: Path) -> None:
    """Plots of the costs against each axis that has several values, the others
    at their first (JAR, Figures 2 and 4)."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    axes = {
        axis: sorted({row[axis] for row in rows})
        for axis in ('img_size', 'width', 'depth')
    }
    shown = [
        ('macs', 'MACs (G)', 1e9),
        ('memory', 'memory (MiB)', 1),
        ('seconds', 'seconds', 1),
    ]
    shown = [x for x in shown if x[0] in rows[0]]
    for axis, values in axes.items():
        if len(values) < 2:
            continue
        figure, panels = plt.subplots(
            1, len(shown), figsize=(4 * len(shown), 3.2), squeeze=False
        )
        for panel, (key, label, unit) in zip(panels[0], shown):
            for name in dict.fromkeys(row['fusion'] for row in rows):
                line = [
                    (row[axis], row[key] / unit)
                    for row in rows
                    if row['fusion'] == name
                    and all(
                        row[other] == axes[other][0] for other in axes if other != axis
                    )
                ]
                panel.plot(*zip(*sorted(line)), 'o-', label=name)
            panel.set(xlabel=axis, ylabel=label)
        panels[0][0].legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(out / f'{axis}.png', dpi=110)
        plt.close(figure)


def variants(args: argparse.Namespace) -> List[dict]:
    """What is compared: a label, a fusion, and its options."""
    found = []
    for name in args.fusions:
        strides = args.stride if name == 'skip_connected' else [None]
        for stride in strides:
            found.append(
                dict(
                    fusion=name if len(strides) == 1 else f'{name} S={stride}',
                    name=name,
                    options={} if stride is None else dict(stride=stride),
                )
            )
    return found


def main() -> None:
    args = parse_args()
    columns = {
        None: [],
        'training': ['seconds', 'memory (MiB)'],
        'inference': ['seconds', 'as fast as concat'],
    }[args.run]
    print(
        '| fusion | image | width | depth | params (M) | MACs (G) '
        '| to concat | whole model, published (G) '
        + ''.join(f'| {column} ' for column in columns)
        + '|\n'
        + '|---' * (8 + len(columns))
        + '|'
    )
    rows = []
    for size, width, depth in product(args.img_size, args.width, args.depth):
        reference = count('concat', {}, size, width, depth)['macs']
        some = [
            dict(
                variant,
                img_size=size,
                width=width,
                depth=depth,
                **count(variant['name'], variant['options'], size, width, depth),
            )
            for variant in variants(args)
        ]
        if args.run:
            run(some, args)
        base = (size, width, depth) == (224, 768, 32)
        for row in some:
            cells = [
                row['fusion'],
                size,
                width,
                depth,
                f'{row["params"] / 1e6:.1f}',
                f'{row["macs"] / 1e9:.2f}',
                f'{row["macs"] / reference:.2f}',
                PUBLISHED.get(row['name'], '-') if base else '-',
            ]
            if args.run:
                cells.append(f'{row["seconds"]:.3f}')
            if args.run == 'training':
                cells.append(f'{row["memory"]:.0f}')
            elif args.run == 'inference':
                other = [r['seconds'] for r in some if r['name'] == 'concat']
                cells.append(f'{other[0] / row["seconds"]:.2f} x' if other else '-')
            print(f'| {" | ".join(map(str, cells))} |', flush=True)
        rows += some
    print(
        '\nThe published GFLOPs are of whole models, in a convention that '
        'the paper does not tell.'
    )
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'table.json').write_text(json.dumps(rows, indent=2))
        draw(rows, args.out)


if __name__ == '__main__':
    main()
