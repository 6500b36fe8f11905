"""Run the rows of a named table of experiments, and write the table.

A table is a file ``configs/*/experiments_NAME.yml``, with a plot if it asks for
one. Its rows are trained by tools/train.py, compressed by tools/compress.py, or
taken over from another row, and all are tested by tools/test.py; a row may also
be the most frequent answer. Rows that are done are skipped, rows that were
interrupted are resumed; rows that were not run are listed as such.

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
    """The rows of a table and where their results lie.

    Each row has a ``name``, the ``config`` that is tested and, as far as it
    needs them: ``train`` (the config is trained first), ``compress`` (options
    of tools/compress.py, which makes config and checkpoint from those of the
    row ``source``), ``checkpoint`` (the row whose weights are tested),
    ``prior`` (options of tools/analysis_tools/answer_prior.py: no model),
    ``options`` (settings over the config's), ``metric`` (its name where rows
    differ), ``seed``, ``required`` and ``note``. A config without a test set is
    trained alone. ``{ROW}`` in options stands for a row's checkpoint. With
    ``costs`` the table tells the operations of a sample and the memory of a
    training step.
    """

    def __init__(self, name: str, work_dir: str) -> None:
        files = glob(osp.join(ROOT, f'configs/*/experiments_{name}.yml'))
        if len(files) != 1:
            found = glob(osp.join(ROOT, 'configs/*/experiments_*.yml'))
            names = [re.sub(r'.*experiments_|\.yml', '', f) for f in found]
            raise FileNotFoundError(
                f'There is no table {name!r}, only {sorted(names)}.'
            )
        content = mmengine.load(files[0])
        self.metric: str = content.get('metric', 'score')
        self.costs: bool = content.get('costs', False)
        self.plot: dict = content.get('plot', {})
        self.rows: Dict[str, dict] = {r['name']: r for r in content['rows']}
        self.folder = osp.join(work_dir, name)

    def path(self, row: str, *parts: str) -> str:
        return osp.join(self.folder, row, *parts)

    def result(self, row: str) -> dict:
        """What is known of a row; empty before it is done."""
        path = self.path(row, 'row.json')
        return mmengine.load(path) if osp.isfile(path) else {}

    def checkpoint(self, row: str) -> str:
        """The weights that a row ended with."""
        row = self.rows[row].get('checkpoint', row)
        compressed = self.path(row, 'model.pth')
        if osp.isfile(compressed):
            return compressed
        with open(self.path(row, 'last_checkpoint')) as file:
            return file.read().strip()

    def sources(self, row: str) -> List[str]:
        """The rows whose weights a row needs."""
        spec = self.rows[row]
        text = json.dumps(spec.get('options', {}))
        names = [name for name in self.rows if f'{{{name}}}' in text]
        return names + [spec[key] for key in ('checkpoint', 'source') if key in spec]

    def options(self, row: str) -> Dict[str, object]:
        """The settings of a row over those of its config."""
        text = json.dumps(self.rows[row].get('options', {}))
        for source in self.sources(row):
            text = text.replace(f'{{{source}}}', self.checkpoint(source))
        return json.loads(text)


def execute(command: List[str], log: str) -> float:
    """Run a script of ours; the seconds that it took.

    Raises:
        RuntimeError: If it fails.
    """
    start = time.time()
    print('+', shlex.join(command), flush=True)
    with open(log, 'a') as file:
        status = subprocess.call(
            [sys.executable, *command], cwd=ROOT, stdout=file, stderr=file
        )
    if status:
        raise RuntimeError(f'The command failed, see {log}.')
    return time.time() - start


def train(table: Table, name: str, command: List[str], log: str) -> float:
    """Train a row; the seconds that it took, with those before an
    interruption."""
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


def measured(table: Table, config: str, settings: dict) -> dict:
    """The parameters of a row's model and, if asked for, what it costs."""
    cfg = Config.fromfile(osp.join(ROOT, config))
    cfg.merge_from_dict(settings)
    model = unwrap_model(build_model(cfg), deploy=True)
    result = dict(
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad)
    )
    if table.costs:
        loader = cfg.train_dataloader
        dataset = DATASETS.build(loader.dataset)
        samples = [dataset[i] for i in range(loader.batch_size)]
        one, batch = (
            model.data_preprocessor(default_collate(part), training=True)
            for part in (samples[:1], samples)
        )
        counts = measure(model, lambda: model(**one, mode='tensor'))
        result['macs'] = counts.operations('macs')
        model.train()

        def step() -> None:
            model.parse_losses(model(**batch, mode='loss'))[0].backward()
            model.zero_grad()

        step()
        result['memory'] = peak_memory(step, 'cpu')
    return result


def run_row(table: Table, name: str) -> None:
    """Train or compress, test, and store the result of a row."""
    if table.result(name):
        print(f'{name}: done before')
        return
    for source in table.sources(name):
        run_row(table, source)
    row, folder = table.rows[name], table.path(name)
    os.makedirs(folder, exist_ok=True)
    log, metrics = table.path(name, 'log.txt'), table.path(name, 'metrics.json')
    config, settings = row['config'], table.options(name)
    settings.setdefault('randomness.seed', row.get('seed', 0))
    overrides = [f'{key}={value}' for key, value in settings.items()]
    # What a resumed run or a test loads is another checkpoint.
    kept = [x for x in overrides if not x.startswith('load_from=')]
    commands, seconds = [], 0.0
    if row.get('train'):
        begun = osp.isfile(table.path(name, 'last_checkpoint'))
        commands.append(
            [
                'tools/train.py',
                config,
                '--work-dir',
                folder,
                *(['--resume'] if begun else []),
                '--cfg-options',
                *(kept if begun else overrides),
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
        size = measured(table, config, settings)
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
                *kept,
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
            epochs=cfg.train_cfg.max_epochs if row.get('train') else 0,
            minutes=seconds / 60,
            seed=row.get('seed', 0),
            commands=[shlex.join(['python', *c]) for c in commands],
        ),
        table.path(name, 'row.json'),
        indent=2,
    )


def _cells(table: Table, row: dict, result: dict) -> List[str]:
    """What the table says of a row that was run, or else dashes."""
    costs = [
        f'{result.get("macs", 0) / 1e9:.3f}',
        f'{result.get("memory", 0):.0f}',
    ] * table.costs
    if not result:
        return ['-'] * (3 + len(costs)) + ['not run', '-']
    score = (
        '-'
        if result['score'] is None
        else f'{result["score"]:.{1 if result["score"] >= 1 else 3}f}'
    )
    if 'metric' in row:
        score += f' {row["metric"]}'
    return [
        f'{result["parameters"] / 1e6:.3f}',
        *costs,
        f'{result["epochs"]}',
        f'{result["seed"]}',
        score,
        f'{result["minutes"]:.1f}',
    ]


def write_table(table: Table) -> str:
    """Write ``table.md`` and ``table.json``; the former's text."""
    head = [
        'row',
        'parameters (M)',
        *['MACs (G)', 'step memory (MiB)'] * table.costs,
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
    """Write ``table.png``: the score against the number at the end of a row's
    name, a line for each of ``plot.series``, and one across for each row of
    ``plot.reference``."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 3.5))
    for series, label in table.plot['series'].items():
        points = []
        for name in table.rows:
            match = re.fullmatch(rf'{series}-r([\d.]+)', name)
            if match and table.result(name):
                points.append((float(match[1]), table.result(name)['score']))
        if points:
            ax.plot(*zip(*sorted(points)), 'o-', label=label)
    for name in table.plot['reference']:
        if table.result(name):
            ax.axhline(table.result(name)['score'], ls='--', color='gray')
            ax.text(
                ax.get_xlim()[1],
                table.result(name)['score'],
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', help='name of the table')
    parser.add_argument('--rows', nargs='+', help='these rows (default: all)')
    parser.add_argument(
        '--required', action='store_true', help='the required rows alone'
    )
    parser.add_argument(
        '--table-only', action='store_true', help='write the table, run none'
    )
    parser.add_argument('--work-dir', default='work_dirs/experiments')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    table = Table(args.table, osp.realpath(args.work_dir))
    rows = args.rows or [
        name
        for name, row in table.rows.items()
        if row.get('required') or not args.required
    ]
    unknown = set(rows) - set(table.rows)
    if unknown:
        raise ValueError(f'There is no row {sorted(unknown)}, only {list(table.rows)}.')
    for name in [] if args.table_only else rows:
        run_row(table, name)
        write_table(table)
    print(write_table(table))
    if table.plot:
        draw_plot(table)


if __name__ == '__main__':
    main()
