"""Run the rows of a table of experiments, and write the table.

Input: the name of a table, a file ``configs/*/experiments_NAME.yml``. The keys of
a row are described in ``Table``. A row is trained by ``tools/train.py`` or
compressed by ``tools/compress.py``, or uses the checkpoint of another row, and is
tested by ``tools/test.py``. A row can also be the baseline of
``tools/analysis_tools/answer_prior.py``. Finished rows are skipped, and
interrupted rows are resumed.
Output: ``table.md``, ``table.json`` and, if the table has a plot, ``table.png`` in
the folder of the table. Rows that were not run are marked.

Example:

    MMVLFUSION_DATA=DIR python tools/experiments.py cifar10 --required
"""

import argparse
import json
import os
import os.path as osp
import re
import shlex
import subprocess
import sys
import time
from glob import glob
from typing import Dict, List

import mmengine
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS

from mmvlfusion.analysis.complexity import measure
from mmvlfusion.analysis.profiling import peak_memory
from mmvlfusion.apis.build import build_model
from mmvlfusion.models.utils import unwrap_model

ROOT = osp.realpath(osp.join(osp.dirname(__file__), '..'))


class Table:
    """A table of experiments and the folder of its results.

    The keys of a row are:

    - **name** (str): Name of the row.
    - **config** (str): The config that is tested. If it has no test set, the row
      is only trained.
    - **merge** (str): A config whose settings override those of ``config``, with
      ``_delete_`` as in inheritance; the result is written as ``merged.py``.
    - **train** (bool): Whether to train the config first.
    - **compress** (str): Options of ``tools/compress.py``, which makes the config
      and the checkpoint of this row from the weights of the row ``source``.
    - **source** (str): See ``compress``.
    - **checkpoint** (str): The row whose weights are tested.
    - **prior** (str): Options of ``tools/analysis_tools/answer_prior.py``, which
      is run instead of a model.
    - **options** (dict): Settings that override those of the config. ``{ROW}`` is
      replaced by the checkpoint of that row.
    - **metric** (str): Name of the score, if it is not that of the table.
    - **seed** (int): Seed of the training. Defaults to 0.
    - **required** (bool): Whether ``--required`` selects the row.
    - **note** (str): Remark in the table.

    All keys except ``name`` and ``config`` are optional.

    Args:
        name (str): Name of the table.
        work_dir (str): The results are in the folder ``work_dir/name``.

    Attributes:
        metric (str): Name of the score.
        costs (bool): Whether the operations of a sample and the memory of a
            training step are measured.
        plot (dict): Settings of the plot, see ``draw_plot``.
        rows (dict[str, dict]): The rows by name.
        folder (str): Folder of the results.

    Raises:
        FileNotFoundError: If the table does not exist.
    """

    def __init__(self, name: str, work_dir: str) -> None:
        files = glob(osp.join(ROOT, f'configs/*/experiments_{name}.yml'))
        if len(files) != 1:
            found = glob(osp.join(ROOT, 'configs/*/experiments_*.yml'))
            names = [re.sub(r'.*experiments_|\.yml', '', f) for f in found]
            raise FileNotFoundError(
                f'There is no table {name!r}: choose one of {sorted(names)}.'
            )
        content = mmengine.load(files[0])
        self.metric: str = content.get('metric', 'score')
        self.costs: bool = content.get('costs', False)
        self.plot: dict = content.get('plot', {})
        self.rows: Dict[str, dict] = {r['name']: r for r in content['rows']}
        self.folder = osp.join(work_dir, name)

    def path(self, row: str, *parts: str) -> str:
        """Return a path in the folder of a row.

        Args:
            row (str): Name of the row.
            *parts (str): Parts of the path in the folder.

        Returns:
            str: The path.
        """
        return osp.join(self.folder, row, *parts)

    def result(self, row: str) -> dict:
        """Read the result of a row.

        Args:
            row (str): Name of the row.

        Returns:
            dict: The result, or an empty dict if the row is not finished.
        """
        path = self.path(row, 'row.json')
        return mmengine.load(path) if osp.isfile(path) else {}

    def checkpoint(self, row: str) -> str:
        """Find the checkpoint that a row is tested with.

        Args:
            row (str): Name of the row.

        Returns:
            str: Path of the checkpoint.
        """
        row = self.rows[row].get('checkpoint', row)
        compressed = self.path(row, 'model.pth')
        if osp.isfile(compressed):
            return compressed
        with open(self.path(row, 'last_checkpoint')) as file:
            return file.read().strip()

    def sources(self, row: str) -> List[str]:
        """List the rows that must be run before a row.

        Args:
            row (str): Name of the row.

        Returns:
            list[str]: The rows whose checkpoints the row needs.
        """
        spec = self.rows[row]
        text = json.dumps(spec.get('options', {}))
        names = [name for name in self.rows if f'{{{name}}}' in text]
        return names + [spec[key] for key in ('checkpoint', 'source') if key in spec]

    def options(self, row: str) -> Dict[str, object]:
        """Return the settings of a row that override those of its config.

        Args:
            row (str): Name of the row.

        Returns:
            dict[str, object]: The settings, with paths for ``{ROW}``.
        """
        text = json.dumps(self.rows[row].get('options', {}))
        for source in self.sources(row):
            text = text.replace(f'{{{source}}}', self.checkpoint(source))
        return json.loads(text)


def execute(command: List[str], log: str) -> float:
    """Run a script of this project.

    Args:
        command (list[str]): The script and its arguments.
        log (str): File to which the output is appended.

    Returns:
        float: The time in seconds.

    Raises:
        RuntimeError: If the script fails.
    """
    start = time.time()
    print('+', shlex.join(command), flush=True)
    with open(log, 'a') as file:
        status = subprocess.call(
            [sys.executable, *command], cwd=ROOT, stdout=file, stderr=file
        )
    if status:
        raise RuntimeError(
            f'The command {shlex.join(command)} failed with status {status}: see {log}.'
        )
    return time.time() - start


def train(table: Table, name: str, command: List[str], log: str) -> float:
    """Train a row, and keep its training time over interruptions.

    Args:
        table (Table): The table.
        name (str): Name of the row.
        command (list[str]): The training script and its arguments.
        log (str): File to which the output is appended.

    Returns:
        float: The time in seconds, including that of interrupted runs.
    """
    timer = table.path(name, 'seconds.txt')
    before = 0.0
    if osp.isfile(timer):
        with open(timer) as file:
            before = float(file.read())
    start = time.time()
    try:
        execute(command, log)
    finally:
        total = before + time.time() - start
        with open(timer, 'w') as file:
            file.write(str(total))
    return total


def write_config(table: Table, name: str) -> str:
    """Write the config of a row that merges two configs.

    Args:
        table (Table): The table.
        name (str): Name of the row.

    Returns:
        str: The config of the row; that of the table if the row merges none.
    """
    row = table.rows[name]
    if 'merge' not in row:
        return row['config']
    cfg = Config.fromfile(osp.join(ROOT, row['config']))
    cfg.merge_from_dict(Config.fromfile(osp.join(ROOT, row['merge'])).to_dict())
    path = table.path(name, 'merged.py')
    cfg.dump(path)
    return path


def measure_model(table: Table, config: str, settings: dict) -> dict:
    """Measure the size of a model, and with ``table.costs`` its cost.

    Args:
        table (Table): The table.
        config (str): The config of the model.
        settings (dict): Settings that override those of the config.

    Returns:
        dict: Number of trainable ``parameters``. With ``table.costs`` also the
        multiply-accumulates ``macs`` of a sample and the peak ``memory`` in MiB
        of a training step.
    """
    cfg = Config.fromfile(osp.join(ROOT, config))
    cfg.merge_from_dict(settings)
    model = unwrap_model(build_model(cfg), deploy=True)
    model.train()  # Some hosts freeze stages in this call only.
    result = dict(
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad)
    )
    if table.costs:
        loader = cfg.train_dataloader
        dataset = DATASETS.build(loader.dataset)
        samples = [dataset[i] for i in range(loader.batch_size)]
        sample = model.data_preprocessor(default_collate(samples[:1]), training=True)
        batch = model.data_preprocessor(default_collate(samples), training=True)
        counts = measure(model, lambda: model(**sample, mode='tensor'))
        result['macs'] = counts.operations('macs')
        model.train()

        def step() -> None:
            model.parse_losses(model(**batch, mode='loss'))[0].backward()
            model.zero_grad()

        step()  # Warm up.
        result['memory'] = peak_memory(step, 'cpu')
    return result


def training_length(cfg: Config) -> str:
    """Describe the length of a training.

    Args:
        cfg (Config): The config.

    Returns:
        str: The number of epochs, or of iterations.
    """
    if 'max_epochs' in cfg.train_cfg:
        return str(cfg.train_cfg.max_epochs)
    return f'{cfg.train_cfg.max_iters} iterations'


def run_row(table: Table, name: str) -> None:
    """Train or compress a row, test it, and store the result.

    The rows that it depends on are run first. A finished row is skipped.

    Args:
        table (Table): The table.
        name (str): Name of the row.
    """
    if table.result(name):
        print(f'{name}: finished before, skipped')
        return
    for source in table.sources(name):
        run_row(table, source)
    row, folder = table.rows[name], table.path(name)
    os.makedirs(folder, exist_ok=True)
    log, metrics = table.path(name, 'log.txt'), table.path(name, 'metrics.json')
    config, settings = write_config(table, name), table.options(name)
    settings.setdefault('randomness.seed', row.get('seed', 0))
    overrides = [f'{key}={value}' for key, value in settings.items()]
    # A resumed run and a test load another checkpoint.
    overrides_without_load = [x for x in overrides if not x.startswith('load_from=')]
    commands, seconds = [], 0.0
    if row.get('train'):
        is_resumed = osp.isfile(table.path(name, 'last_checkpoint'))
        commands.append(
            [
                'tools/train.py',
                config,
                '--work-dir',
                folder,
                *(['--resume'] if is_resumed else []),
                '--cfg-options',
                *(overrides_without_load if is_resumed else overrides),
            ]
        )
        seconds = train(table, name, commands[-1], log)
    elif 'compress' in row:
        commands.append(
            [
                'tools/compress.py',
                config,
                table.checkpoint(row['source']),
                '--out',
                folder,
                *shlex.split(row['compress']),
            ]
        )
        seconds = execute(commands[-1], log)
        config = table.path(name, 'config.py')
    if 'prior' in row:
        commands.append(
            [
                'tools/analysis_tools/answer_prior.py',
                config,
                '--out',
                metrics,
                *shlex.split(row['prior']),
            ]
        )
        size = dict(parameters=0)
    else:
        size = measure_model(table, config, settings)
        commands.append(
            [
                'tools/test.py',
                config,
                table.checkpoint(name),
                '--work-dir',
                table.path(name, 'test'),
                '--out',
                metrics,
                '--out-item',
                'metrics',
                '--cfg-options',
                *overrides_without_load,
            ]
        )
    cfg = Config.fromfile(osp.join(ROOT, config))
    cfg.merge_from_dict(settings)
    if cfg.get('test_dataloader') is None:
        commands.pop()
        score = None
    else:
        execute(commands[-1], log)
        metric = row.get('metric', table.metric)
        score = mmengine.load(metrics)[metric]
    mmengine.dump(
        dict(
            size,
            name=name,
            score=score,
            length=training_length(cfg) if row.get('train') else '0',
            minutes=seconds / 60,
            seed=row.get('seed', 0),
            commands=[shlex.join(['python', *c]) for c in commands],
        ),
        table.path(name, 'row.json'),
        indent=2,
    )


def _cells(table: Table, row: dict, result: dict) -> List[str]:
    """Return the cells of a row between its name and its note."""
    if not result:
        costs = ['-', '-'] if table.costs else []
        # Parameters, costs, epochs, seed, score, minutes.
        return ['-', *costs, '-', '-', 'not run', '-']
    costs = []
    if table.costs:
        costs = [
            f'{result.get("macs", 0) / 1e9:.3f}',
            f'{result.get("memory", 0):.0f}',
        ]
    if result['score'] is None:
        score = '-'
    elif result['score'] >= 1:
        score = f'{result["score"]:.1f}'
    else:
        score = f'{result["score"]:.3f}'
    if 'metric' in row:
        score += f' {row["metric"]}'
    return [
        f'{result["parameters"] / 1e6:.3f}',
        *costs,
        result['length'],
        f'{result["seed"]}',
        score,
        f'{result["minutes"]:.1f}',
    ]


def write_table(table: Table) -> str:
    """Write ``table.md`` and ``table.json``.

    Args:
        table (Table): The table.

    Returns:
        str: The text of ``table.md``.
    """
    costs = ['MACs (G)', 'step memory (MiB)'] if table.costs else []
    head = [
        'row',
        'parameters (M)',
        *costs,
        'epochs',
        'seed',
        table.metric,
        'minutes',
        'remark',
    ]
    lines = [f'| {" | ".join(head)} |', '|---' * len(head) + '|']
    results = []
    for name, row in table.rows.items():
        result = table.result(name)
        results.append(result or dict(name=name, score=None))
        cells = [name, *_cells(table, row, result), row.get('note', '')]
        lines.append(f'| {" | ".join(cells)} |')
    text = '\n'.join(lines) + '\n'
    os.makedirs(table.folder, exist_ok=True)
    mmengine.dump(results, osp.join(table.folder, 'table.json'), indent=2)
    with open(osp.join(table.folder, 'table.md'), 'w') as file:
        file.write(text)
    return text


def draw_plot(table: Table) -> None:
    """Write ``table.png``, the score over the number at the end of a row's name.

    ``plot.series`` gives the label of each line by the beginning of its rows'
    names; they end in ``-rNUMBER``. The rows of ``plot.reference`` are horizontal
    lines.

    Args:
        table (Table): The table.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 3.5))
    for series, label in table.plot['series'].items():
        points = []
        for name in table.rows:
            match = re.fullmatch(rf'{series}-r([\d.]+)', name)
            result = table.result(name)
            if match and result:
                points.append((float(match[1]), result['score']))
        if points:
            ax.plot(*zip(*sorted(points)), 'o-', label=label)
    for name in table.plot['reference']:
        result = table.result(name)
        if result:
            ax.axhline(result['score'], ls='--', color='gray')
            ax.text(
                ax.get_xlim()[1],
                result['score'],
                name,
                ha='right',
                va='bottom',
                size=8,
            )
    ax.set(xlabel=table.plot['xlabel'], ylabel=table.metric)
    ax.legend()
    figure.tight_layout()
    figure.savefig(osp.join(table.folder, 'table.png'), dpi=110)
    plt.close(figure)


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', help='name of the table')
    parser.add_argument('--rows', nargs='+', help='rows to run (default: all)')
    parser.add_argument(
        '--required', action='store_true', help='only run the required rows'
    )
    parser.add_argument(
        '--table-only', action='store_true', help='only write the table'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/experiments',
        help='parent folder of the results (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Run the rows of the command line and write the table."""
    args = parse_args()
    table = Table(args.table, osp.realpath(args.work_dir))
    rows = args.rows or [
        name
        for name, row in table.rows.items()
        if not args.required or row.get('required')
    ]
    unknown = set(rows) - set(table.rows)
    if unknown:
        raise ValueError(
            f'There is no row {sorted(unknown)}: choose from {list(table.rows)}.'
        )
    if not args.table_only:
        for name in rows:
            run_row(table, name)
            write_table(table)
    print(write_table(table))
    if table.plot:
        draw_plot(table)


if __name__ == '__main__':
    main()
