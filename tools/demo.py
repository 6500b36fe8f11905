"""Train, test and visualise a small model on generated data.

Everything is generated and trained on this machine, in about five minutes on
two CPU cores for classification:

    python tools/demo.py classification

The configs are those of configs/demo. A run that was interrupted is resumed,
and a finished one only repeats its test.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple

import mmengine

ROOT = Path(__file__).resolve().parents[1]
WORK_DIR = Path('work_dirs/demo')
# Lines of a log that show progress.
PROGRESS = re.compile(r'.* - (?=(Epoch|Iter)\((train|val|test)\))')
NUM_ERROR_LINES = 20
TEXT_DATA = ['--out', 'data/shapes64', '--scene-size', '64', '--num-train', '6000']
TEXT_TASKS = ['segmentation', 'vqa', 'caption', 'grounding']


class Task(NamedTuple):
    """A task of the demo.

    Attributes:
        rows (int): Rows of the picture of predictions.
        columns (int): Columns of that picture.
        has_text (bool): Whether the task has texts. These tasks start from a
            backbone that was trained on shapes, and do not validate.
        num_unused (int): Tokens that are reserved for other purposes than
            words, such as the positions of boxes.
        predictions (str): Name of the predictions in the work folder.
    """

    rows: int
    columns: int
    has_text: bool = False
    num_unused: int = 0
    predictions: str = 'predictions.pkl'


TASKS = dict(
    classification=Task(4, 8),
    detection=Task(3, 3),
    segmentation=Task(3, 3, predictions='predictions'),
    vqa=Task(2, 3, has_text=True),
    caption=Task(2, 3, has_text=True, num_unused=66),
    retrieval=Task(2, 3, has_text=True, num_unused=66),
    grounding=Task(2, 3, has_text=True, num_unused=66),
)


class Step(NamedTuple):
    """A step of the demo.

    Attributes:
        name (str): What it does.
        script (str): Script below ``tools``.
        args (list[str]): Its arguments.
    """

    name: str
    script: str
    args: List[str]


def make_steps(name: str) -> List[Step]:
    """List the steps of a task.

    Args:
        name (str): Name of the task.

    Returns:
        list[Step]: The steps, in order.
    """
    task = TASKS[name]
    config = f'configs/demo/{name}.py'
    work_dir = WORK_DIR / name
    predictions = str(work_dir / task.predictions)
    shapes = ['--tasks', name]
    train = ['--work-dir', str(work_dir), '--resume']
    steps = []
    if task.has_text:
        shapes = [*TEXT_DATA, '--tasks', *TEXT_TASKS]
        train.append('--no-validate')
    steps.append(Step('generate data', 'dataset_converters/shapes.py', shapes))
    if task.has_text:
        backbone = [
            '--work-dir',
            str(WORK_DIR / 'backbone'),
            '--resume',
            '--no-validate',
        ]
        steps.append(
            Step('train backbone', 'train.py', ['configs/demo/backbone.py', *backbone])
        )
        tokenizer = [config, '--unused', str(task.num_unused)]
        steps.append(
            Step('train tokenizer', 'dataset_converters/build_tokenizer.py', tokenizer)
        )
    steps.append(Step('train', 'train.py', [config, *train]))
    test = [config, str(work_dir / 'last_checkpoint')]
    steps.append(
        Step(
            'test',
            'test.py',
            [*test, '--work-dir', str(work_dir), '--out', predictions],
        )
    )
    sheet = ['--rows', str(task.rows), '--columns', str(task.columns)]
    picture = ['--out', str(work_dir / 'predictions.png')]
    steps.append(
        Step(
            'draw predictions',
            'visualizations/contact_sheet.py',
            [config, predictions, *picture, *sheet],
        )
    )
    return steps


def make_command(step: Step) -> List[str]:
    """Make the command of a step.

    Args:
        step (Step): The step.

    Returns:
        list[str]: The command, with the checkpoint that ``last_checkpoint``
        names if it exists.
    """
    args = [
        Path(arg).read_text().strip()
        if arg.endswith('last_checkpoint') and Path(arg).is_file()
        else arg
        for arg in step.args
    ]
    return [sys.executable, str(ROOT / 'tools' / step.script), *args]


def quote(args: List[str]) -> str:
    """Quote arguments for a shell.

    Args:
        args (list[str]): The arguments.

    Returns:
        str: The quoted arguments, separated by spaces.
    """
    return ' '.join(
        f'"$(cat {arg})"' if arg.endswith('last_checkpoint') else shlex.quote(arg)
        for arg in args
    )


def run_step(step: Step, log_path: Path, verbose: bool) -> None:
    """Run a step, write its output to a file and print its progress.

    Args:
        step (Step): The step.
        log_path (Path): The file.
        verbose (bool): Whether to print all output.

    Raises:
        SystemExit: If the step fails.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with (
        open(log_path, 'w') as log,
        subprocess.Popen(
            make_command(step),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            if verbose:
                print(line, end='', flush=True)
            elif PROGRESS.match(line):
                print('   ', PROGRESS.sub('', line), end='', flush=True)
    if process.returncode:
        if not verbose:
            print(''.join(lines[-NUM_ERROR_LINES:]))
        sys.exit(f'The step "{step.name}" failed; its output is in {log_path}.')


def read_scores(work_dir: Path) -> str:
    """Read the scores of the last test.

    Args:
        work_dir (Path): The work folder of the task.

    Returns:
        str: Names and values of the scores.
    """
    logs = work_dir.glob('*/*.json')
    scores = mmengine.load(max(logs, key=lambda path: path.stat().st_mtime))
    return ', '.join(
        f'{name} {value:.1f}'
        for name, value in scores.items()
        if not name.endswith('time') and isinstance(value, float)
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'task', nargs='?', choices=list(TASKS), default='classification'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print the commands only'
    )
    parser.add_argument(
        '--verbose', action='store_true', help='print all output of the steps'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    steps = make_steps(args.task)
    work_dir = WORK_DIR / args.task
    start = time.time()
    for number, step in enumerate(steps, 1):
        if args.dry_run:
            print(f'python tools/{step.script} {quote(step.args)}')
            continue
        print(f'[{number}/{len(steps)}] {step.name}', flush=True)
        run_step(
            step, work_dir / f'{number}_{step.name.replace(" ", "_")}.log', args.verbose
        )
    if not args.dry_run:
        minutes, seconds = divmod(round(time.time() - start), 60)
        print(
            f'Done in {minutes}:{seconds:02}: {read_scores(work_dir)}; predictions: '
            f'{(work_dir / "predictions.png").resolve()}'
        )


if __name__ == '__main__':
    main()
