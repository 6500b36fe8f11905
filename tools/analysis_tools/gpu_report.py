"""Test and measure a GPU, and write one report.

Input: nothing; the models have random weights. Without a GPU, a small version of
each table runs on the CPU.
Output: ``report.md`` in the folder ``--out``, with the card, its driver and clocks,
the versions, and for each table medians, quartiles and peak memory. Next to it is one
json file for each table. A later run with the same folder continues with the rows that
are missing, which includes those that failed. On a GPU each table runs in its own
process.

Example:

    python tools/analysis_tools/gpu_report.py --out work_dirs/gpu_report
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import benchmark
import factorization
import fusion_scaling
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).resolve().parents[2]
TABLE_SECONDS = 530  # Less than nine minutes for each table.
# What is measured only if a library is installed.
PARTS = dict(
    pytest='the tests that need a GPU',
    timm='the models of timm',
    mmpretrain='TNT, VSSD, PELA, and all tests except for the other hosts',
    mmdet='tests of detectors',
    mmseg='tests of segmentors',
    transformers='tests of models of images and texts',
)
TNT = 'configs/tnt/tnt-small-p16_8xb128-300e_in1k.py'
TNT_MINI = 'configs/tnt/tnt-mini-p8_1xb32-50e_cifar10-32px.py'
VIT_MINI = 'configs/tnt/vit-mini-p8_1xb32-50e_cifar10-32px.py'
PELA = 'configs/pela/pela-r2_{}_4xb64-50e_in1k.py'
PELA_LITE = 'configs/pela/pela-r2_vit-lite-p4_1xb64-30e_cifar10-32px.py'
VIT_LITE = 'configs/pela/vit-lite-p4_1xb64-30e_cifar10-32px.py'
VISION_SSD_MINI = 'configs/vssd/vision-ssd-mini-p8_1xb32-10e_shapes-32px.py'
VSSD_MINI = 'configs/vssd/vssd-mini_1xb32-10e_shapes-32px.py'
FUSION_SIZES = (224, 448, 896)
# Sides of images in pixels, and batch sizes that keep the number of tokens.
STATE_SPACE_SIZES = {224: 64, 448: 16, 896: 4, 2048: 1}


@dataclass
class Row:
    """One setting of a table, in which several models run in turn.

    Attributes:
        setting (str): Its name, unique in the table.
        samples (int): Images of a step.
        rounds (int): Measurements of each model.
        models (dict[str, Callable]): For each model a function without arguments
            that returns the step to measure and a dict with ``params`` and peak
            ``memory``. Ratios refer to the first one.
        measure (Callable, optional): Function without arguments that returns the
            results itself, instead of ``models``.
    """

    setting: str
    samples: int = 1
    rounds: int = 0
    models: Dict[str, Callable] = field(default_factory=dict)
    measure: Optional[Callable] = None


@dataclass
class Table:
    """A table of the report.

    Attributes:
        title (str): Its title.
        goal (str): The result to reach.
        rows (Callable): Function of the device and of whether to be small, which
            returns the rows.
        needs (str, optional): A library that all rows need.
    """

    title: str
    goal: str
    rows: Callable
    needs: Optional[str] = None


def model_row(
    setting: str,
    models: Dict[str, str],
    device: str,
    mode: str = 'inference',
    dtype: str = 'bf16',
    compiled: bool = False,
    batch: int = 64,
    size: int = 224,
    rounds: int = 20,
) -> Row:
    """Make a row of models of ``benchmark.py``.

    Args:
        setting (str): Name of the row.
        models (dict[str, str]): The models of its command line.
        device (str): The device.
        mode, dtype, compiled, batch, rounds: See ``benchmark.py``.
        size (int): Side of the images in pixels.

    Returns:
        Row: The row, without the models whose library is missing.
    """
    args = Namespace(
        mode=mode,
        dtype=dtype,
        device=device,
        batch_size=batch,
    )
    backend = 'compile' if compiled else 'torch'
    models = {
        label: partial(benchmark.prepare, absolute(name), backend, (size, size), args)
        for label, name in models.items()
        if name.partition(':')[0] not in missing()
    }
    return Row(setting, batch, rounds, models)


def absolute(name: str) -> str:
    """Make the path of a config independent of the working directory.

    Args:
        name (str): A model of ``benchmark.py``.

    Returns:
        str: The model.
    """
    return f'{ROOT}/{name}' if name.startswith('configs/') else name


def missing() -> Dict[str, str]:
    """Find the libraries that are not installed.

    Returns:
        dict[str, str]: What is skipped, for each of them.
    """
    parts = {name: part for name, part in PARTS.items() if find_spec(name) is None}
    if find_spec('mmcv._ext') is None:
        parts['the operators of mmcv'] = 'tests of detectors with regions of interest'
    return parts


def tnt_rows(mode: str, dtype: str, device: str, small: bool) -> List[Row]:
    """Make the rows of TNT-S: eager, compiled, and with the fused inner block.

    Args:
        mode (str): ``'inference'`` or ``'train'``.
        dtype (str): ``'fp32'`` or ``'bf16'``.
        device (str): The device.
        small (bool): Whether to measure small models.

    Returns:
        list[Row]: The rows.
    """
    make = partial(model_row, device=device, mode=mode, dtype=dtype)
    if small:
        models = {'ViT': VIT_MINI, 'TNT': TNT_MINI}
        return [make('eager, batch 2', models, batch=2, size=32, rounds=2)]
    models = {
        'DeiT-S (timm)': 'timm:deit_small_patch16_224',
        'TNT-S (timm)': 'timm:tnt_s_patch16_224',
        'TNT-S': TNT,
        'TNT-S, fused inner block': TNT + '+model.backbone.inner_backend=triton',
    }
    if mode == 'train':
        models['TNT-S, with_cp'] = TNT + '+model.backbone.with_cp=True'
    return [
        make(
            f'{"compiled" if compiled else "eager"}, batch {batch}',
            models,
            compiled=compiled,
            batch=batch,
        )
        for batch, compiled in product((64, 256), (False, True))
    ]


def pela_rows(device: str, small: bool) -> List[Row]:
    """Make the rows of low-rank models.

    Args:
        device (str): The device.
        small (bool): Whether to measure small models.

    Returns:
        list[Row]: The rows.
    """
    if small:
        models = {'dense': VIT_LITE, 'low rank': PELA_LITE}
        return [
            model_row('ViT', models, device, batch=2, size=32, rounds=2, dtype='fp32')
        ]
    rows = []
    for model, config, dense in (
        ('DeiT-B', 'deit-base-p16', 'mmpretrain:VisionTransformer:deit-base'),
        ('Swin-B', 'swin-base', 'mmpretrain:SwinTransformer:base'),
    ):
        config = PELA.format(config)
        models = {'dense': dense, 'ranks as published': config}
        for multiple in (8, 64):
            option = f'+model.student.backbone.rank_multiple={multiple}'
            models[f'ranks of multiples of {multiple}'] = config + option
        rows += [
            model_row(
                f'{model}, {mode}, {dtype}, batch 64', models, device, mode, dtype
            )
            for mode, dtype in product(('inference', 'train'), ('bf16', 'fp32'))
        ]
    return rows


def prepare_fusion(
    name: str, size: int, width: int, depth: int, batch: int, mode: str, device: str
) -> Tuple[Callable, dict]:
    """Build and warm up a fusion in bfloat16.

    Args:
        name (str): A fusion of ``fusion_scaling.py``.
        size, width, depth, batch, mode, device: See ``fusion_scaling.py``.

    Returns:
        tuple[Callable, dict]: See ``benchmark.prepare``.
    """
    torch.manual_seed(0)
    fusion = fusion_scaling.build(name, {}, width, depth, device).bfloat16()
    inputs = [
        x.bfloat16() for x in fusion_scaling.make_inputs(width, size, batch, device)
    ]
    step = fusion_scaling.make_step(fusion, inputs, mode)
    for _ in range(benchmark.NUM_WARM_UPS):
        step()
    params = sum(p.numel() for p in fusion.parameters())
    return step, dict(params=params, memory=benchmark.peak_memory(step, device))


def fusion_rows(device: str, small: bool) -> List[Row]:
    """Make the rows of fusions by the size of the image.

    Args:
        device (str): The device.
        small (bool): Whether to measure small models.

    Returns:
        list[Row]: The rows.
    """
    sizes, width, depth, batch, rounds = FUSION_SIZES, 768, 32, 8, 20
    if small:
        sizes, width, depth, batch, rounds = (64,), 64, 4, 1, 2
    return [
        Row(
            f'{mode}, {size} px, batch {batch}',
            batch,
            rounds,
            {
                name: partial(
                    prepare_fusion, name, size, width, depth, batch, mode, device
                )
                for name in ('concat', 'joint', 'skip_connected')
            },
        )
        for mode, size in product(('inference', 'training'), sizes)
    ]


def measure_factorization(device: str, small: bool) -> Dict[str, dict]:
    """Compare the factorisation of DeiT-B with full SVD.

    Args:
        device (str): The device.
        small (bool): Whether to factorise DeiT-Ti with two blocks.

    Returns:
        dict[str, dict]: The times of both.
    """
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    arch = 'deit-tiny' if small else 'deit-base'
    model = MODELS.build(dict(type='mmpretrain.VisionTransformer', arch=arch))
    if small:
        model.layers = model.layers[:2]
    found = factorization.compare(model, 2.0, ['vit'], device)
    label = f'{found["layers"]} layers, largest excess of the error '
    return {
        "numpy's full SVD on the CPU": dict(times=[found['svd']]),
        f'{label}{found["excess"]:.1e}': dict(times=[found['low_rank']]),
    }


def factorization_rows(device: str, small: bool) -> List[Row]:
    """Make the row of the factorisation.

    Args:
        device (str): The device.
        small (bool): Whether to factorise a small model.

    Returns:
        list[Row]: The row.
    """
    name = 'DeiT-Ti, two blocks' if small else 'DeiT-B'
    return [Row(name, measure=partial(measure_factorization, device, small))]


def state_space_rows(device: str, small: bool) -> List[Row]:
    """Make the rows of state-space encoders by the size of the image.

    Args:
        device (str): The device.
        small (bool): Whether to measure small models.

    Returns:
        list[Row]: The rows.
    """
    models = {
        'DeiT-S, attention of PyTorch': 'mmpretrain:VisionTransformer:deit-small',
        'VisionSSD-S': 'mmvlfusion:VisionSSD:small',
        'VisionSSD-S, expand 1': 'mmvlfusion:VisionSSD:small+expand=1',
        'VSSD-T': 'mmvlfusion:VSSD:tiny',
    }
    sizes, rounds = STATE_SPACE_SIZES, 20
    if small:
        models = {'ViT': VIT_MINI, 'VisionSSD': VISION_SSD_MINI, 'VSSD': VSSD_MINI}
        sizes, rounds = {32: 2, 64: 1}, 2
    modes = ('inference',) if small else ('inference', 'train')
    return [
        model_row(
            f'{mode}, {size} px, batch {batch}',
            models,
            device,
            mode,
            batch=batch,
            size=size,
            rounds=rounds,
        )
        for mode, (size, batch) in product(modes, sizes.items())
    ]


def run_tests(small: bool) -> Dict[str, dict]:
    """Run the tests that need a GPU.

    Args:
        small (bool): Whether to run one file only, as without a GPU all of them are
            skipped.

    Returns:
        dict[str, dict]: The summary of pytest and its lines of failed and skipped
        tests.
    """
    path = 'tests/test_models/test_state_space/test_vision_ssd.py' if small else 'tests'
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'gpu', path]
    command += ['--continue-on-collection-errors', '-p', 'no:cacheprovider']
    output = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'COLUMNS': '200'},
    ).stdout
    return {'': summarise_tests(output.strip().split('\n'))}


def summarise_tests(lines: List[str]) -> dict:
    """Summarise the output of pytest.

    Args:
        lines (list[str]): The output.

    Returns:
        dict: The ``summary``, the ``lines`` of tests that did not pass, and
        ``passed``, whether all did but those whose library is missing.
    """
    kept = [line for line in lines if re.match(r'(FAILED|ERROR|SKIPPED) ', line)]
    expected = tuple(f"No module named '{name}" for name in missing())
    failed = [
        line
        for line in kept
        if not line.startswith('SKIPPED') and not any(part in line for part in expected)
    ]
    return dict(summary=lines[-1].strip('= '), lines=kept, passed=not failed)


def test_rows(device: str, small: bool) -> List[Row]:
    """Make the row of the tests.

    Args:
        device (str): The device.
        small (bool): See ``run_tests``.

    Returns:
        list[Row]: The row.
    """
    return [Row('pytest -m gpu', measure=partial(run_tests, small))]


TABLES = dict(
    tests=Table('Tests', 'no failure', test_rows, 'pytest'),
    **{
        f'tnt-{mode}-{dtype}': Table(
            f'TNT-S: {mode}, {dtype}',
            'fused or compiled at least 0.60 x (inference) or 0.5 x (training) the '
            "images/s of DeiT-S compiled; memory of a training step below timm's TNT-S",
            partial(tnt_rows, mode, dtype),
            'mmpretrain',
        )
        for dtype, mode in product(('bf16', 'fp32'), ('inference', 'train'))
    },
    pela=Table(
        'PELA: low-rank models at ratio 2',
        'at least 1.4 x (inference) or 1.3 x (training) the dense model',
        pela_rows,
        'mmpretrain',
    ),
    fusions=Table(
        'Fusions by the size of the image, bf16',
        "JAR's step (joint) at most 0.4 x the time of concat at 448 px",
        fusion_rows,
    ),
    factorization=Table(
        'Factorisation of a model', 'at least 50 x', factorization_rows, 'mmpretrain'
    ),
    **{
        'state-space': Table(
            'State-space encoders by the size of the image, bf16',
            'the size from which they are faster than attention',
            state_space_rows,
            'mmpretrain',
        )
    },
)


def nvidia_smi(fields: str) -> List[str]:
    """Ask the driver for properties of the first GPU.

    Args:
        fields (str): Names of the properties, separated by commas.

    Returns:
        list[str]: Their values, or nothing if there is no such driver.
    """
    first = os.environ.get('CUDA_VISIBLE_DEVICES', '0').split(',')[0]
    command = ['nvidia-smi', f'--query-gpu={fields}', '--format=csv,noheader']
    command.append(f'--id={first}')
    try:
        output = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return output.stdout.strip().split(', ') if output.returncode == 0 else []


def describe_machine(device: str) -> Dict[str, str]:
    """Describe the device and the versions.

    Args:
        device (str): The device.

    Returns:
        dict[str, str]: Values by their names.
    """
    found = {}
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(0)
        found['card'] = (
            f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB, '
            f'{properties.multi_processor_count} processors'
        )
        names = ('driver', 'power limit', 'highest clocks (processors, memory)')
        values = nvidia_smi('driver_version,power.limit,clocks.max.sm,clocks.max.mem')
        if len(values) == 4:
            found.update(zip(names, (*values[:2], ', '.join(values[2:]))))
    else:
        found['card'] = f'none; {platform.processor() or platform.machine()}'
    found['Python'] = platform.python_version()
    libraries = ('torch', 'triton', 'mmengine', 'mmcv', *PARTS)
    for name in libraries:
        if find_spec(name) is not None:
            module = __import__(name)
            found[name] = getattr(module, '__version__', 'unknown')
    found['CUDA, cuDNN'] = f'{torch.version.cuda}, {torch.backends.cudnn.version()}'
    return found


def clocks(device: str) -> str:
    """Describe the present state of the GPU.

    Args:
        device (str): The device.

    Returns:
        str: Clocks, temperature and power, or nothing without a GPU.
    """
    fields = 'clocks.sm,clocks.mem,temperature.gpu,power.draw'
    values = nvidia_smi(fields) if device == 'cuda' else []
    return f'{values[0]}, {values[1]}, {values[2]} °C, {values[3]}' if values else ''


def run_row(row: Row, device: str) -> Dict[str, dict]:
    """Prepare the models of a row, and measure them in turn.

    Args:
        row (Row): The row.
        device (str): The device.

    Returns:
        dict[str, dict]: For each model ``params``, ``memory`` and ``times``, or the
        ``error`` for which it was not measured.
    """
    if row.measure is not None:
        return row.measure()
    torch.compiler.reset()
    steps, results = {}, {}
    for label, prepare in row.models.items():
        try:
            steps[label], results[label] = prepare()
        except Exception as error:
            lines = str(error).strip().split('\n')
            results[label] = dict(error=f'{type(error).__name__}: {lines[0]}')
    for label, times in benchmark.time_rounds(steps, row.rounds, device).items():
        results[label]['times'] = times
    return results


def is_done(results: Dict[str, dict]) -> bool:
    """Check whether a row needs no further run.

    Args:
        results (dict[str, dict]): The results of ``run_row``.

    Returns:
        bool: False if a model was not measured or a test failed.
    """
    return all(
        'error' not in found and found.get('passed', True) for found in results.values()
    )


def run_table(name: str, device: str, path: Path, deadline: float) -> None:
    """Run the rows of a table that are missing, and write each at once.

    Args:
        name (str): Name of the table.
        device (str): The device.
        path (Path): The json file of the table.
        deadline (float): Time after which no row starts.
    """
    table = read_table(path)
    for row in TABLES[name].rows(device, device == 'cpu'):
        if row.setting in table and is_done(table[row.setting]['models']):
            continue
        if time.time() > deadline:
            return
        before = clocks(device)
        models = run_row(row, device)
        table[row.setting] = dict(
            models=models, samples=row.samples, clocks=[before, clocks(device)]
        )
        partial_path = path.with_suffix('.partial')
        partial_path.write_text(json.dumps(table, indent=1))
        partial_path.replace(path)


def read_table(path: Path) -> Dict[str, dict]:
    """Read the rows of a table.

    Args:
        path (Path): The json file of the table.

    Returns:
        dict[str, dict]: The rows by their settings.
    """
    return json.loads(path.read_text()) if path.is_file() else {}


def cells_of(found: dict, samples: int, reference: List[float]) -> List[str]:
    """Format the results of one model.

    Args:
        found (dict): The results.
        samples (int): Images of a step.
        reference (list[float]): Times of the first model in seconds.

    Returns:
        list[str]: Median and quartiles in milliseconds, images per second, ratio of
        the speed to the first model's, and memory in MiB.
    """
    if 'error' in found:
        return [f'not measured: {found["error"]}'.replace('|', ' '), *4 * '-']
    times = found['times']
    spread = '-'
    if len(times) > 1:
        low, _, high = quantiles(times, n=4, method='inclusive')
        spread = f'{1000 * low:.3f} to {1000 * high:.3f}'
    ratio = '-'
    if reference:
        ratio = f'{median(ref / t for ref, t in zip(reference, times)):.2f}'
    memory = f'{found["memory"]:.1f}' if 'memory' in found else '-'
    middle = median(times)
    return [f'{1000 * middle:.3f}', spread, f'{samples / middle:.1f}', ratio, memory]


def format_table(name: str, rows: Dict[str, dict], device: str) -> Iterator[str]:
    """Format a table.

    Args:
        name (str): Name of the table.
        rows (dict[str, dict]): Its rows.
        device (str): The device.

    Yields:
        str: The lines.
    """
    table = TABLES[name]
    yield f'\n## {table.title}\n\nGoal: {table.goal}.\n'
    if table.needs in missing():
        yield f'Not measured: {table.needs} is not installed.'
        return
    settings = [row.setting for row in table.rows(device, device == 'cpu')]
    if name == 'tests':
        for setting in settings:
            found = rows[setting]['models'][''] if setting in rows else {}
            yield f'`{setting}`: {found.get("summary", "not run")}\n'
            yield from (f'- {line}' for line in found.get('lines', []))
        return
    yield (
        '| setting | model | median (ms) | quartiles (ms) | per second | ratio | '
        'memory (MiB) |\n|---|---|---|---|---|---|---|'
    )
    for setting in settings:
        if setting not in rows:
            yield f'| {setting} | - | not measured | - | - | - | - |'
            continue
        row = rows[setting]
        reference = next(iter(row['models'].values()), {}).get('times', [])
        for label, found in row['models'].items():
            cells = cells_of(found, row['samples'], reference)
            yield f'| {" | ".join([setting, label, *cells])} |'
    states = [state for row in rows.values() for state in row['clocks'] if state]
    if states:
        yield f'\nClocks, temperature and power: first {states[0]}; last {states[-1]}.'


def write_report(out: Path, names: List[str], device: str) -> Path:
    """Write the report of all tables.

    Args:
        out (Path): The folder of the json files.
        names (list[str]): Names of the tables.
        device (str): The device.

    Returns:
        Path: The file.
    """
    machine = json.loads((out / 'machine.json').read_text())
    lines = ['# Report of a GPU\n' if device == 'cuda' else '# Report without a GPU\n']
    if device == 'cpu':
        lines.append('Small versions of the tables; they say nothing about a GPU.\n')
    lines += [f'- {name}: {value}' for name, value in machine.items()]
    lines += [
        f'- skipped, as {name} is not installed: {part}'
        for name, part in missing().items()
    ]
    lines.append(
        '\nThe models of a setting run in turn in each round. Quartiles are over '
        'the rounds. A ratio is the median over the rounds of the speed relative to '
        'the first model. Memory is the peak of a step minus what is allocated '
        'before it.'
    )
    for name in names:
        lines += format_table(name, read_table(out / f'{name}.json'), device)
    path = out / 'report.md'
    path.write_text('\n'.join(lines) + '\n')
    return path


def check_machine(out: Path, device: str) -> None:
    """Write or compare the description of the machine.

    Args:
        out (Path): The folder of the report.
        device (str): The device.

    Raises:
        ValueError: If the folder has results of another card or version.
    """
    path, machine = out / 'machine.json', describe_machine(device)
    if path.is_file():
        old = json.loads(path.read_text())
        for name in ('card', 'driver', 'torch'):
            if old.get(name) != machine.get(name):
                raise ValueError(
                    f'{out} has results with {name} {old.get(name)!r}, found '
                    f'{machine.get(name)!r}: set --out to another folder.'
                )
    path.write_text(json.dumps(machine, indent=1))


def parse_args() -> Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/gpu_report'),
        help='folder of the report (default: work_dirs/gpu_report)',
    )
    parser.add_argument(
        '--tables',
        nargs='+',
        choices=list(TABLES),
        default=list(TABLES),
        metavar='NAME',
        help=f'tables to measure, of {", ".join(TABLES)} (default: all)',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=24,
        help='time after which the report ends; repeat the command to continue',
    )
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(f'--minutes must be positive, got {args.minutes}')
    return args


def run_worker(name: str, out: Path, seconds: float) -> str:
    """Run a table in its own process, which is ended after a time.

    Args:
        name (str): Name of the table.
        out (Path): The folder of the report.
        seconds (float): The time.

    Returns:
        str: How it ended.
    """
    command = [sys.executable, __file__, '--worker', '--tables', name, '--out', out]
    command += ['--minutes', str(seconds / 60)]
    # Compiled kernels are kept for a run that continues.
    cache = dict(TORCHINDUCTOR_CACHE_DIR=str(out / 'compiled'))
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**cache, **os.environ},
        start_new_session=True,
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        # The group includes the processes of compilers and of pytest.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 'out of time'
    return 'finished' if status == 0 else f'failed ({status})'


def main() -> None:
    """Run the tables and write the report."""
    args = parse_args()
    started = time.time()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    MMLogger.get_instance('gpu_report', log_level='ERROR')
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if args.worker:
        benchmark.keep_heap()
        (name,) = args.tables
        path = out / f'{name}.json'
        run_table(name, device, path, started + 60 * args.minutes)
        return
    check_machine(out, device)
    for name in args.tables:
        if TABLES[name].needs in missing():
            continue
        seconds = min(TABLE_SECONDS, started + 60 * args.minutes - time.time())
        if seconds <= 0:
            print('The time is over: repeat the command to continue.')
            break
        state = 'finished'
        if device == 'cuda':
            state = run_worker(name, out, seconds)
        else:
            path = out / f'{name}.json'
            run_table(name, device, path, time.time() + seconds)
        print(f'{name}: {state} after {time.time() - started:.0f} s', flush=True)
        write_report(out, list(TABLES), device)
    print(write_report(out, list(TABLES), device))


if __name__ == '__main__':
    main()
