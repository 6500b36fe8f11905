"""Cost of the fusions against image size, width and depth.

Multiply-accumulates and parameters are counted without running anything; with
``--run`` a training step is run for its time and peak memory as well. A map of
stride 16 and a text of 32 tokens are fused; backbone and text encoder are not
counted. JAR's published GFLOPs are of whole models, in a convention that the
paper does not tell.

    python tools/analysis_tools/fusion_scaling.py --img-size 224 448 896
    python tools/analysis_tools/fusion_scaling.py --run --fusions joint concat
"""
import argparse
import json
from itertools import product
from pathlib import Path
from statistics import median
from typing import Dict, List

import torch
from mmengine.registry import MODELS
from torch import nn

from mmvlfusion.utils.complexity import measure
from mmvlfusion.utils.profiling import peak_memory, seconds

FUSIONS = dict(
    joint='mmvlfusion.JointAdaptiveFusion',
    perceiver='mmvlfusion.PerceiverFusion',
    co_tokenization='mmvlfusion.CoTokenizationFusion',
    skip_connected='mmvlfusion.SkipConnectedFusion',
    cross_attention='mmvlfusion.CrossAttentionFusion',
    concat='mmvlfusion.ConcatFusion')
# Whole models at the base setting (JAR, Tables 2 and 3).
PUBLISHED = dict(joint=38.9, perceiver=40.3, co_tokenization=43.8, concat=58.4)
STRIDE, TEXT_LENGTH = 16, 32


def build(name: str, width: int, depth: int, device: str) -> nn.Module:
    """A fusion with heads of 64 channels."""
    with torch.device(device):
        return MODELS.build(dict(
            type=FUSIONS[name], embed_dims=width, image_channels=width,
            num_heads=width // 64, num_layers=depth))


def make_inputs(width: int, size: int, batch: int, device: str
                ) -> List[torch.Tensor]:
    cells = (size // STRIDE)**2
    return [torch.randn(batch, length, width, device=device)
            for length in (TEXT_LENGTH, cells)]


def count(name: str, size: int, width: int, depth: int) -> Dict[str, float]:
    """Parameters and multiply-accumulates, on shapes alone."""
    fusion = build(name, width, depth, 'meta')
    inputs = make_inputs(width, size, 1, 'meta')
    counts = measure(fusion, lambda: fusion(*inputs))
    return dict(params=counts.params, macs=counts.operations('macs'))


def run(name: str, size: int, width: int, depth: int, batch: int,
        device: str) -> Dict[str, float]:
    """Seconds of a training step, and its peak MiB above the weights:
    activations and gradients."""
    fusion = build(name, width, depth, device).train()
    inputs = make_inputs(width, size, batch, device)

    def step() -> None:
        fusion(*inputs).tokens.square().mean().backward()
        fusion.zero_grad()

    step()
    return dict(
        seconds=median(seconds(step, device) for _ in range(3)),
        memory=peak_memory(step, device))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--fusions', nargs='+', choices=list(FUSIONS), default=list(FUSIONS))
    parser.add_argument(
        '--img-size', nargs='+', type=int, default=[224, 336, 448, 672, 896],
        help='sides of square images in pixels')
    parser.add_argument('--width', nargs='+', type=int, default=[768])
    parser.add_argument('--depth', nargs='+', type=int, default=[32])
    parser.add_argument(
        '--run', action='store_true', help='run a training step of each')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', type=Path, help='folder of table and plots')
    args = parser.parse_args()
    for name, least in (('img_size', STRIDE), ('width', 64), ('depth', 4)):
        if min(getattr(args, name)) < least:
            parser.error(f'--{name.replace("_", "-")} must be {least} or more')
    if any(width % 64 for width in args.width):
        parser.error('--width must be a multiple of 64')
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
    shown = [('macs', 'MACs (G)', 1e9), ('memory', 'memory (MiB)', 1),
             ('seconds', 'seconds', 1)]
    shown = [x for x in shown if x[0] in rows[0]]
    for axis, values in axes.items():
        if len(values) < 2:
            continue
        figure, panels = plt.subplots(
            1, len(shown), figsize=(4 * len(shown), 3.2), squeeze=False)
        for panel, (key, label, unit) in zip(panels[0], shown):
            for name in dict.fromkeys(row['fusion'] for row in rows):
                line = [(row[axis], row[key] / unit) for row in rows
                        if row['fusion'] == name and all(
                            row[other] == axes[other][0]
                            for other in axes if other != axis)]
                panel.plot(*zip(*sorted(line)), 'o-', label=name)
            panel.set(xlabel=axis, ylabel=label)
        panels[0][0].legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(out / f'{axis}.png', dpi=110)
        plt.close(figure)


def main() -> None:
    args = parse_args()
    columns = ['seconds', 'memory (MiB)'] if args.run else []
    print('| fusion | image | width | depth | params (M) | MACs (G) '
          '| to concat | whole model, published (G) '
          + ''.join(f'| {column} ' for column in columns)
          + '|\n' + '|---' * (8 + len(columns)) + '|')
    rows = []
    for size, width, depth in product(args.img_size, args.width, args.depth):
        reference = count('concat', size, width, depth)['macs']
        for name in args.fusions:
            row = dict(fusion=name, img_size=size, width=width, depth=depth,
                       **count(name, size, width, depth))
            if args.run:
                row.update(run(name, size, width, depth, args.batch_size,
                               args.device))
            base = (size, width, depth) == (224, 768, 32)
            extra = (f'| {row["seconds"]:.2f} | {row["memory"]:.0f} '
                     if args.run else '')
            print(f'| {name} | {size} | {width} | {depth} '
                  f'| {row["params"] / 1e6:.1f} | {row["macs"] / 1e9:.2f} '
                  f'| {row["macs"] / reference:.2f} '
                  f'| {PUBLISHED.get(name, "-") if base else "-"} {extra}|',
                  flush=True)
            rows.append(row)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'table.json').write_text(json.dumps(rows, indent=2))
        draw(rows, args.out)


if __name__ == '__main__':
    main()
