"""Compare the cost of fusions over image size, width and depth.

Input: the names of fusions and the settings to compare. Each fusion receives an
image feature map of stride 16 and 32 text tokens. Backbone and text encoder are
not counted.
Output: a table of parameters and multiply-accumulates, which are counted
without running the models. With ``--run`` each fusion is also run for its time,
and in training for its peak memory. ``--out`` receives the table as json and
plots.

Examples:

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
# GFLOPs of complete models at the base setting (JAR, Tables 2 and 3).
PUBLISHED = dict(joint=38.9, perceiver=40.3, co_tokenization=43.8, concat=58.4)
BASE_SETTING = (224, 768, 32)  # Image size, width, depth.
PATCH_SIZE, TEXT_LENGTH, HEAD_DIMS = 16, 32, 64
MIN_DEPTH = 4


def build(
    name: str, options: Dict[str, Any], width: int, depth: int, device: str
) -> nn.Module:
    """Build a fusion with attention heads of ``HEAD_DIMS`` channels.

    Args:
        name (str): A key of ``FUSIONS``.
        options (dict[str, Any]): Further arguments of the fusion.
        width (int): Channels of text and image tokens.
        depth (int): Number of layers.
        device (str): The device.

    Returns:
        nn.Module: The fusion.
    """
    with torch.device(device):
        return MODELS.build(
            dict(
                type=FUSIONS[name],
                embed_dims=width,
                image_channels=width,
                num_heads=width // HEAD_DIMS,
                num_layers=depth,
                **options,
            )
        )


def make_inputs(width: int, size: int, batch: int, device: str) -> List[torch.Tensor]:
    """Make random inputs of a fusion.

    Args:
        width (int): Channels D of the tokens.
        size (int): Side of the image in pixels.
        batch (int): Batch size B.
        device (str): The device.

    Returns:
        list[torch.Tensor]: Text tokens (B, L, D) and image tokens (B, M, D).
    """
    num_patches = (size // PATCH_SIZE) ** 2
    text = torch.randn(batch, TEXT_LENGTH, width, device=device)
    image = torch.randn(batch, num_patches, width, device=device)
    return [text, image]


def count(
    name: str, options: Dict[str, Any], size: int, width: int, depth: int
) -> Dict[str, float]:
    """Count parameters and multiply-accumulates, on the meta device.

    Args:
        name (str): A key of ``FUSIONS``.
        options (dict[str, Any]): Further arguments of the fusion.
        size (int): Side of the image in pixels.
        width (int): Channels of the tokens.
        depth (int): Number of layers.

    Returns:
        dict[str, float]: ``params`` and ``macs``.
    """
    fusion = build(name, options, width, depth, 'meta')
    inputs = make_inputs(width, size, 1, 'meta')
    counts = measure(fusion, lambda: fusion(*inputs))
    return dict(params=counts.params, macs=counts.operations('macs'))


def make_step(
    fusion: nn.Module, inputs: List[torch.Tensor], mode: str
) -> Callable[[], None]:
    """Make the function that is timed.

    Args:
        fusion (nn.Module): The fusion.
        inputs (list[torch.Tensor]): Its inputs.
        mode (str): ``'training'`` for forward and backward pass without an
            optimizer step, or ``'inference'``.

    Returns:
        Callable: The function, without arguments.
    """
    fusion.train(mode == 'training')

    def train() -> None:
        fusion(*inputs).tokens.square().mean().backward()
        fusion.zero_grad()

    @torch.inference_mode()
    def infer() -> None:
        fusion(*inputs)

    return train if mode == 'training' else infer


def run(rows: List[dict], args: argparse.Namespace) -> None:
    """Run all fusions of one setting in turn, and add the results to the rows.

    ``seconds`` is the median time of a step. In training, ``memory`` is the peak
    in MiB of activations and gradients.

    Args:
        rows (list[dict]): The rows of one setting.
        args (argparse.Namespace): The arguments of the command line.
    """
    steps = []
    for row in rows:
        inputs = make_inputs(
            row['width'], row['img_size'], args.batch_size, args.device
        )
        fusion = build(
            row['name'], row['options'], row['width'], row['depth'], args.device
        )
        step = make_step(fusion, inputs, args.run)
        step()  # Warm up.
        steps.append(step)
    times = [
        [time_call(step, args.device) for step in steps] for _ in range(args.rounds)
    ]
    for row, step, step_times in zip(rows, steps, zip(*times)):
        row['seconds'] = median(step_times)
        if args.run == 'training':
            row['memory'] = peak_memory(step, args.device)


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--fusions',
        nargs='+',
        choices=list(FUSIONS),
        default=list(FUSIONS),
        help='fusions to compare (default: all)',
    )
    parser.add_argument(
        '--img-size',
        nargs='+',
        type=int,
        default=[224, 336, 448, 672, 896],
        help='sides of square images in pixels',
    )
    parser.add_argument(
        '--width', nargs='+', type=int, default=[768], help='channels of the tokens'
    )
    parser.add_argument(
        '--depth', nargs='+', type=int, default=[32], help='numbers of layers'
    )
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
        help='also run each fusion: a training step, or inference',
    )
    parser.add_argument('--batch-size', type=int, default=1, help='batch size of --run')
    parser.add_argument(
        '--rounds',
        type=int,
        default=3,
        help='runs of each fusion; the median is reported',
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device of --run (default: a GPU if available)',
    )
    parser.add_argument(
        '--out', type=Path, help='folder that receives the table and the plots'
    )
    args = parser.parse_args()
    for name, least in (
        ('img_size', PATCH_SIZE),
        ('width', HEAD_DIMS),
        ('depth', MIN_DEPTH),
    ):
        if min(getattr(args, name)) < least:
            parser.error(
                f'--{name.replace("_", "-")} must be {least} or more, '
                f'got {getattr(args, name)}'
            )
    if any(width % HEAD_DIMS for width in args.width):
        parser.error(f'--width must be a multiple of {HEAD_DIMS}, got {args.width}')
    if 'skip_connected' in args.fusions:
        for depth, stride in product(args.depth, args.stride):
            try:
                connected_layers(depth, stride, 'paper')
            except ValueError as error:
                parser.error(f'--stride {stride}, --depth {depth}: {error}')
    return args


def _is_smallest(row: dict, axes: Dict[str, List[int]], axis: str) -> bool:
    """Check whether a row has the smallest value of all other axes."""
    return all(row[other] == axes[other][0] for other in axes if other != axis)


def draw(rows: List[dict], out: Path) -> None:
    """Plot the costs over each axis with several values (JAR, Figures 2 and 4).

    The other axes have their smallest value.

    Args:
        rows (list[dict]): The rows of the table.
        out (Path): The folder to write to.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    axes = {
        axis: sorted({row[axis] for row in rows})
        for axis in ('img_size', 'width', 'depth')
    }
    columns = [
        ('macs', 'MACs (G)', 1e9),
        ('memory', 'memory (MiB)', 1),
        ('seconds', 'seconds', 1),
    ]
    columns = [column for column in columns if column[0] in rows[0]]
    for axis, values in axes.items():
        if len(values) < 2:
            continue
        figure, panels = plt.subplots(
            1, len(columns), figsize=(4 * len(columns), 3.2), squeeze=False
        )
        for panel, (key, label, unit) in zip(panels[0], columns):
            for name in dict.fromkeys(row['fusion'] for row in rows):
                points = [
                    (row[axis], row[key] / unit)
                    for row in rows
                    if row['fusion'] == name and _is_smallest(row, axes, axis)
                ]
                panel.plot(*zip(*sorted(points)), 'o-', label=name)
            panel.set(xlabel=axis, ylabel=label)
        panels[0][0].legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(out / f'{axis}.png', dpi=110)
        plt.close(figure)


def variants(args: argparse.Namespace) -> List[dict]:
    """List the fusions that are compared, with each stride.

    Args:
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        list[dict]: The label ``fusion``, the ``name`` and the ``options`` of
        each fusion.
    """
    found = []
    for name in args.fusions:
        if name != 'skip_connected':
            found.append(dict(fusion=name, name=name, options={}))
            continue
        for stride in args.stride:
            label = name if len(args.stride) == 1 else f'{name} S={stride}'
            found.append(dict(fusion=label, name=name, options=dict(stride=stride)))
    return found


def main() -> None:
    """Count, run and print all settings."""
    args = parse_args()
    columns = {
        None: [],
        'training': ['seconds', 'memory (MiB)'],
        'inference': ['seconds', 'speed-up over concat'],
    }[args.run]
    print(
        '| fusion | image | width | depth | params (M) | MACs (G) '
        '| relative to concat | complete model, published (G) '
        + ''.join(f'| {column} ' for column in columns)
        + '|\n'
        + '|---' * (8 + len(columns))
        + '|'
    )
    rows = []
    for size, width, depth in product(args.img_size, args.width, args.depth):
        reference = count('concat', {}, size, width, depth)['macs']
        setting_rows = [
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
            run(setting_rows, args)
        is_base = (size, width, depth) == BASE_SETTING
        for row in setting_rows:
            cells = [
                row['fusion'],
                size,
                width,
                depth,
                f'{row["params"] / 1e6:.1f}',
                f'{row["macs"] / 1e9:.2f}',
                f'{row["macs"] / reference:.2f}',
                PUBLISHED.get(row['name'], '-') if is_base else '-',
            ]
            if args.run:
                cells.append(f'{row["seconds"]:.3f}')
            if args.run == 'training':
                cells.append(f'{row["memory"]:.0f}')
            elif args.run == 'inference':
                concat_times = [
                    r['seconds'] for r in setting_rows if r['name'] == 'concat'
                ]
                if concat_times:
                    cells.append(f'{concat_times[0] / row["seconds"]:.2f} x')
                else:
                    cells.append('-')
            print(f'| {" | ".join(map(str, cells))} |', flush=True)
        rows += setting_rows
    print(
        '\nThe published GFLOPs are those of complete models. The paper does '
        'not state how they are counted.'
    )
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'table.json').write_text(json.dumps(rows, indent=2))
        draw(rows, args.out)


if __name__ == '__main__':
    main()
