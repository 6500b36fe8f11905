"""Compare the speed, operations and memory of models in one run.

Input: two or more models. A model is ``timm:NAME``, ``mmpretrain:TYPE`` or
``mmvlfusion:TYPE`` (with ``:ARCH`` if the type has several architectures) or a
config. All but those of timm may be followed by settings: ``CONFIG+KEY=VALUE``.
For a PELADistiller the student is measured.
Output: a table of parameters, multiply-accumulates of an image, speed and peak
memory for each image size, with one row for each model with each back end. All run
in turn in each round, so that a busy machine slows down all of them. The speed is
the median over the rounds. The ratio is the median of the ratios to the first row in
the same round. The memory of a runtime is not measured; the size of its file is.
``--out`` receives the results as json and, with several image sizes, a plot.

Examples:

    python tools/analysis_tools/benchmark.py timm:tnt_s_patch16_224 \\
        configs/tnt/tnt-small-p16_8xb128-300e_in1k.py --dtype bf16 --compile
    python tools/analysis_tools/benchmark.py mmpretrain:VisionTransformer:deit-small \\
        mmvlfusion:VisionSSD:small+expand=1 --img-size 224 448 896 --out DIR
    python tools/analysis_tools/benchmark.py timm:tnt_s_patch16_224 \\
        mmvlfusion:TNT:small --backend torch onnxruntime openvino --device cpu
"""

import argparse
import ctypes
import json
import os.path as osp
import sys
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Tuple

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvlfusion.analysis.complexity import DEFAULT_SHAPE, measure
from mmvlfusion.analysis.profiling import peak_memory, time_call
from mmvlfusion.apis.build import build_model
from mmvlfusion.deploy import get_format, size_in_mib, trace
from mmvlfusion.deploy.graphs import Graph
from mmvlfusion.hosts import image_channels, input_shape
from mmvlfusion.models.utils import unwrap_model

DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)
# Back ends that run an exported graph: its format, and whether it is int8.
RUNTIMES = {
    'onnxruntime': ('onnx', False),
    'onnxruntime-int8': ('onnx', True),
    'openvino': ('openvino', False),
    'openvino-int8': ('openvino', True),
}
BACKENDS = ('torch', 'compile', *RUNTIMES)
NUM_WARM_UPS = 3
# Parameters of glibc's mallopt, from malloc.h, and their values in bytes.
M_TRIM_THRESHOLD, TRIM_THRESHOLD = -1, 2**30
M_MMAP_THRESHOLD, MMAP_THRESHOLD = -3, 2**25  # The largest value that is allowed.


def keep_heap() -> None:
    """Make glibc keep the memory of freed tensors of up to 32 MiB each.

    Otherwise it may return the memory of each large tensor to the system, and
    request it again page by page. Whether it does so depends on the earlier
    allocations of the process, and it can slow down a model by a quarter.
    """
    if sys.platform == 'linux':
        libc = ctypes.CDLL(None)
        if hasattr(libc, 'mallopt'):
            libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
            libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)


class Classifier(nn.Module):
    """A classifier of a host that is called with images only.

    Args:
        model (nn.Module): The classifier.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        """Run the classifier in the mode ``'tensor'``.

        Args:
            x (torch.Tensor): Images, (B, C, H, W).

        Returns:
            Any: The output of the classifier.
        """
        return self.model(x, mode='tensor')


def build(name: str) -> nn.Module:
    """Build a model with random weights.

    Args:
        name (str): A model of the command line.

    Returns:
        nn.Module: The model, which is called with images (B, C, H, W).
    """
    kind, _, rest = name.partition(':')
    if kind == 'timm':
        import timm

        return timm.create_model(rest)
    if kind in ('mmpretrain', 'mmvlfusion'):
        init_default_scope('mmpretrain')
        path, options = split_settings(rest)
        backbone, _, arch = path.partition(':')
        cfg = dict(options, type=f'{kind}.{backbone}')
        if arch:
            cfg['arch'] = arch
        return MODELS.build(cfg)
    return Classifier(unwrap_model(build_model(read_config(name)), deploy=True))


def is_config(name: str) -> bool:
    """Check whether a model of the command line is a config.

    Args:
        name (str): The model.

    Returns:
        bool: False for a model of timm or mmpretrain.
    """
    return name.partition(':')[0] not in ('timm', 'mmpretrain', 'mmvlfusion')


def split_settings(name: str) -> Tuple[str, Dict[str, Any]]:
    """Split a model of the command line from the settings that follow it.

    Args:
        name (str): ``NAME+KEY=VALUE``, with any number of settings.

    Returns:
        tuple[str, dict[str, Any]]: The name and the settings.

    Raises:
        ValueError: If a setting has no value.
    """
    path, *settings = name.split('+')
    options = {}
    for setting in settings:
        key, is_set, value = setting.partition('=')
        if not is_set:
            raise ValueError(
                f'The setting {setting!r} of {path} has no value: write +KEY=VALUE.'
            )
        options[key] = DictAction._parse_iterable(value)
    return path, options


def read_config(name: str) -> Config:
    """Read a config with the settings that follow it.

    Args:
        name (str): A model of the command line, ``CONFIG+KEY=VALUE``.

    Returns:
        Config: The config.
    """
    path, options = split_settings(name)
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options)
    return cfg


def common_shape(names: List[str]) -> Tuple[int, int]:
    """Find the input size of the models.

    Args:
        names (list[str]): The models of the command line.

    Returns:
        tuple[int, int]: Height and width in pixels of all configs, or 224 if
        none fixes them.

    Raises:
        ValueError: If the sizes of the configs differ.
    """
    shapes = {name: input_shape(read_config(name)) for name in filter(is_config, names)}
    shapes = {name: shape for name, shape in shapes.items() if shape is not None}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f'The configs read images of different sizes, {shapes}: set --img-size.'
        )
    return next(iter(shapes.values()), DEFAULT_SHAPE)


def make_images(
    name: str, shape: Tuple[int, int], args: argparse.Namespace
) -> torch.Tensor:
    """Make random images for a model.

    Args:
        name (str): The model of the command line.
        shape (tuple[int, int]): Height H and width W in pixels.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        torch.Tensor: Shape (B, C, H, W).
    """
    channels = image_channels(read_config(name).model) if is_config(name) else 3
    x = torch.randn(args.batch_size, channels, *shape, device=args.device)
    return x.to(DTYPES[args.dtype])


def last_tensor(output: Any) -> torch.Tensor:
    """Return the last tensor of nested sequences.

    Args:
        output (Any): A tensor, or a list or tuple of outputs.

    Returns:
        torch.Tensor: The last tensor.
    """
    while isinstance(output, (tuple, list)):
        output = output[-1]
    return output


def make_step(model: nn.Module, x: torch.Tensor, train: bool) -> Callable:
    """Make a function that runs one forward pass or one training step.

    Args:
        model (nn.Module): The model.
        x (torch.Tensor): Images, (B, C, H, W).
        train (bool): Whether to run a training step with AdamW.

    Returns:
        Callable: The function, without arguments.
    """
    if not train:
        return torch.inference_mode()(lambda: model(x))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        loss = last_tensor(model(x)).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def export(
    model: nn.Module, images: torch.Tensor, backend: str
) -> Tuple[Callable, float]:
    """Export a model, and load it by its runtime.

    Args:
        model (nn.Module): The model, in evaluation mode.
        images (torch.Tensor): Images, (B, C, H, W). int8 is calibrated with them,
            which is enough to measure speed.
        backend (str): A key of ``RUNTIMES``.

    Returns:
        tuple[Callable, float]: The function that runs the model with images, and the
        size of the file in MiB.
    """
    name, is_int8 = RUNTIMES[backend]
    writer = get_format(name, is_int8)
    graph = Graph('model', model, dict(images={}), ('features',))
    with tempfile.TemporaryDirectory() as folder:
        path = osp.join(folder, 'model' + writer.suffix)
        writer.write(trace(graph, (images,), 'none'), graph, 'none', path)
        if is_int8:
            source, path = path, osp.join(folder, 'int8' + writer.suffix)
            writer.quantize(source, graph, [(images,)], path)
        return writer.load(path, torch.get_num_threads()), size_in_mib(path)


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('models', nargs='+', help='models; the first is the reference')
    parser.add_argument(
        '--mode',
        choices=['inference', 'train'],
        default='inference',
        help='what is measured: a forward pass or a training step with AdamW',
    )
    parser.add_argument(
        '--dtype',
        choices=list(DTYPES),
        default='fp32',
        help='type of weights and images',
    )
    parser.add_argument(
        '--backend',
        nargs='+',
        choices=BACKENDS,
        default=['torch'],
        help='what runs the models: PyTorch, torch.compile, or a runtime after an '
        'export (default: torch)',
    )
    parser.add_argument(
        '--compile',
        dest='backend',
        action='store_const',
        const=['compile'],
        help='short for --backend compile',
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device (default: a GPU if available)',
    )
    parser.add_argument('--batch-size', type=int, default=8, help='images of a batch')
    parser.add_argument(
        '--img-size',
        nargs='+',
        type=int,
        help='sides of the square images in pixels (default: the input size of the '
        'configs, or 224)',
    )
    parser.add_argument(
        '--rounds', type=int, default=20, help='measurements of each model'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=0,
        help='threads on a CPU; 0: the default of PyTorch',
    )
    parser.add_argument('--out', type=Path, help='folder for results.json and the plot')
    args = parser.parse_args()
    for name in ('models', 'backend'):
        values = getattr(args, name)
        if len(set(values)) < len(values):
            parser.error(f'{name} has a value twice: give each of {values} once')
    runtimes = [name for name in args.backend if name in RUNTIMES]
    for name, value in dict(mode='inference', dtype='fp32', device='cpu').items():
        if runtimes and getattr(args, name) != value:
            parser.error(
                f'{", ".join(runtimes)} need --{name} {value}, '
                f'got {getattr(args, name)}'
            )
    for name in ('batch_size', 'img_size', 'rounds'):
        value = getattr(args, name)
        least = min(value) if isinstance(value, list) else value
        if least is not None and least < 1:
            parser.error(f'--{name.replace("_", "-")} must be positive, got {least}')
    if args.img_size:
        args.shapes = [(size, size) for size in args.img_size]
    else:
        args.shapes = [common_shape(args.models)]
    return args


def prepare(
    name: str, backend: str, shape: Tuple[int, int], args: argparse.Namespace
) -> Tuple[Callable, dict]:
    """Build and warm up a model with a back end.

    Args:
        name (str): A model of the command line.
        backend (str): One of ``BACKENDS``.
        shape (tuple[int, int]): Height and width of the images in pixels.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        tuple[Callable, dict]: The function to measure, and the number of
        parameters ``params``, the ``macs`` of the forward pass of one image, the
        peak ``memory`` of one step and the size of the exported ``file`` in MiB;
        ``file`` is None for PyTorch, ``memory`` for a runtime.
    """
    train = args.mode == 'train'
    torch.manual_seed(0)
    model = build(name).to(args.device, DTYPES[args.dtype])
    params = sum(p.numel() for p in model.parameters())
    images = make_images(name, shape, args)
    counts = measure(model, partial(model, images[:1]))
    model.train(train)
    memory = file = None
    if backend in RUNTIMES:
        session, file = export(model, images, backend)
        step: Callable = partial(session, images)
    else:
        compiled: Any = torch.compile(model) if backend == 'compile' else model
        step = make_step(compiled, images, train)
    for _ in range(NUM_WARM_UPS):
        step()
    if backend not in RUNTIMES:
        memory = peak_memory(step, args.device)
    return step, dict(
        params=params, macs=counts.operations('macs'), memory=memory, file=file
    )


def time_rounds(
    steps: Dict[str, Callable], rounds: int, device: str
) -> Dict[str, List[float]]:
    """Measure functions in interleaved rounds.

    Args:
        steps (dict[str, Callable]): The functions by their names.
        rounds (int): Number of measurements of each function.
        device (str): The device that they run on.

    Returns:
        dict[str, list[float]]: The times of the rounds in seconds.
    """
    times: Dict[str, List[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(time_call(step, device))
    return times


def run(shape: Tuple[int, int], args: argparse.Namespace) -> Dict[str, dict]:
    """Build, warm up and measure all models at one image size.

    Args:
        shape (tuple[int, int]): Height and width of the images in pixels.
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        dict[str, dict]: For each model, and with several back ends for each of
        them, the results of ``prepare``, its ``backend``, the ``times`` of the rounds
        in seconds, ``images_per_second`` and its ``ratio`` to the first.
    """
    # Otherwise the second image size compiles graphs of dynamic shape.
    torch.compiler.reset()
    steps, results = {}, {}
    for name, backend in product(args.models, args.backend):
        label = name if len(args.backend) == 1 else f'{name} ({backend})'
        steps[label], results[label] = prepare(name, backend, shape, args)
        results[label]['backend'] = backend
    times = time_rounds(steps, args.rounds, args.device)
    reference = next(iter(times.values()))
    for name, result in results.items():
        result['times'] = times[name]
        result['images_per_second'] = args.batch_size / median(times[name])
        result['ratio'] = median(
            ref / time for ref, time in zip(reference, times[name])
        )
    return results


def draw(results: Dict[int, Dict[str, dict]], path: Path) -> None:
    """Plot operations, time and memory over the image size.

    Args:
        results (dict[int, dict[str, dict]]): Results of ``run`` by image size.
        path (Path): The image file.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    panels = [
        ('MACs of an image (G)', lambda row: row['macs'] / 1e9),
        ('time of an image (ms)', lambda row: 1e3 / row['images_per_second']),
        ('peak memory (MiB)', lambda row: row['memory'] or float('nan')),
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 4))
    for ax, (label, value) in zip(axes, panels):
        for name in next(iter(results.values())):
            ax.plot(
                list(results),
                [value(rows[name]) for rows in results.values()],
                'o-',
                label=name,
            )
        ax.set(xlabel='side of the image (pixels)', ylabel=label, yscale='log')
        ax.set_xscale('log', base=2)
        ax.set_xticks(list(results), list(results), rotation=45)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure the models, print the tables and draw the plot."""
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_heap()
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for shape in args.shapes:
        rows = run(shape, args)
        results[shape[0]] = rows
        print(
            f'{args.mode}, {args.dtype}, {" / ".join(args.backend)}, {args.device} '
            f'({torch.get_num_threads()} threads), batch {args.batch_size}, '
            f'{" x ".join(map(str, shape))} px, '
            f'median of {args.rounds} interleaved rounds\n\n'
            '| model | params (M) | MACs (G) | images/s | ratio '
            '| peak memory (MiB) | file (MiB) |\n'
            '|---|---|---|---|---|---|---|'
        )
        for name, row in rows.items():
            memory, file = (
                '-' if row[key] is None else f'{row[key]:.1f}'
                for key in ('memory', 'file')
            )
            print(
                f'| {name} | {row["params"] / 1e6:.2f} | {row["macs"] / 1e9:.2f} '
                f'| {row["images_per_second"]:.2f} | {row["ratio"]:.2f} '
                f'| {memory} | {file} |'
            )
        print(flush=True)
        if args.out:
            (args.out / 'results.json').write_text(json.dumps(results, indent=2))
    if args.out and len(results) > 1:
        draw(results, args.out / 'img_size.png')


if __name__ == '__main__':
    main()
