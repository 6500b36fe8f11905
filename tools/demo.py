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
from typing import List, NamedTuple, Optional

import mmengine

ROOT = Path(__file__).resolve().parents[1]
WORK_DIR = Path('work_dirs/demo')
# Lines of mmengine's log that show progress: epoch and iteration, or iteration.
PROGRESS = re.compile(
    r'.* - (Epoch|Iter)\((train|val|test)\) +(?:\[ *(\d+)\])?\[ *(\d+)/ *(\d+)\] (.*)'
)
# The number of epochs or iterations in the config that mmengine logs first.
TOTAL = re.compile(r'\bmax_(?:epochs|iters)=(\d+)')
ETA = re.compile(r'\beta: ([\d:]+(?: days?, [\d:]+)?)')
LOSS = re.compile(r'\bloss: ([\d.]+|nan|inf)')
# Names may have single blanks; entries are separated by two.
SCORE = re.compile(r'(?:^|  ) *([\w/@.-]+(?: [\w/@.-]+)*): (-?[\d.]+|nan)(?=  |$)')
TIMES = ('data_time', 'time')
BAR_WIDTH = 24  # Characters.
NUM_SCORES = 3  # Scores of a validation that are printed.
NUM_ERROR_LINES = 20
TEXT_DATA = ['--out', 'data/shapes64', '--scene-size', '64', '--num-train', '6000']
TEXT_TASKS = ['segmentation', 'vqa', 'caption', 'grounding']


class Task(NamedTuple):
    """A task of the demo.

    Attributes:
        aim (str): What the model learns, for the first sentence.
        rows (int): Rows of the picture of predictions.
        columns (int): Columns of that picture.
        has_text (bool): Whether the task has texts. These tasks start from a
            backbone that was trained on shapes, and do not validate.
        num_unused (int): Tokens that are reserved for other purposes than
            words, such as the positions of boxes.
        predictions (str): Name of the predictions in the work folder.
    """

    aim: str
    rows: int
    columns: int
    has_text: bool = False
    num_unused: int = 0
    predictions: str = 'predictions.pkl'


TASKS = dict(
    classification=Task('name the shape in an image', 4, 8),
    detection=Task('find shapes by boxes', 3, 3),
    segmentation=Task(
        'give each pixel the class of its shape', 3, 3, predictions='predictions'
    ),
    vqa=Task('answer questions about scenes', 2, 3, has_text=True),
    caption=Task('describe scenes', 2, 3, has_text=True, num_unused=66),
    retrieval=Task(
        'find the scene that a text describes', 2, 3, has_text=True, num_unused=66
    ),
    grounding=Task(
        'find the shape that an expression describes',
        2,
        3,
        has_text=True,
        num_unused=66,
    ),
)
# What each step does, by its name.
SENTENCES = {
    'generate data': 'Draw images of coloured shapes with their labels.',
    'train backbone': 'Train an image backbone to label shapes; the model starts '
    'from it.',
    'train tokenizer': 'Collect the words of the texts in a tokenizer.',
    'train': 'Train the model.',
    'test': 'Test it on images that it has not seen.',
    'draw predictions': 'Draw some of its predictions.',
}


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


def describe_progress(line: str, total: Optional[int]) -> Optional[str]:
    """Describe a line of mmengine's log as a progress bar or a score.

    Args:
        line (str): The line.
        total (int, optional): Number of epochs or iterations of the training.

    Returns:
        str | None: The text, or None if the line shows no progress.
    """
    match = PROGRESS.match(line)
    if match is None:
        return None
    unit, mode, epoch, step, steps, rest = match.groups()
    if mode != 'train':
        scores = [
            f'{name} {float(value):.1f}'
            for name, value in SCORE.findall(rest)
            if name not in TIMES
        ]
        return f'score: {", ".join(scores[:NUM_SCORES])}' if scores else None
    done, end = int(step), int(steps)
    place = f'iteration {done} of {end}'
    if unit == 'Epoch' and total:
        done, end = (int(epoch) - 1) * end + done, total * end
        place = f'epoch {epoch} of {total}'
    filled = BAR_WIDTH * done // end
    parts = [place]
    for pattern, text in ((LOSS, 'loss {}'), (ETA, '{} left')):
        found = pattern.search(rest)
        if found:
            parts.append(text.format(found[1]))
    bar = '#' * filled + '-' * (BAR_WIDTH - filled)
    return f'[{bar}] {100 * done // end:3} %  {", ".join(parts)}'


def run_step(step: Step, log_path: Path, verbose: bool) -> None:
    """Run a step, write its output to a file and print its progress.

    On a terminal the progress bar is drawn in place.

    Args:
        step (Step): The step.
        log_path (Path): The file.
        verbose (bool): Whether to print all output.

    Raises:
        SystemExit: If the step fails.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    lines: List[str] = []
    total = None
    # A bar is replaced by the next one; a score stays.
    erase, is_bar = ('\r\033[K', False) if sys.stdout.isatty() else ('', False)
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
                continue
            if total is None and (found := TOTAL.search(line)):
                total = int(found[1])
            text = describe_progress(line, total)
            if text is None:
                continue
            is_bar = text.startswith('[')
            end = '' if is_bar and erase else '\n'
            print(f'{erase}      {text}', end=end, flush=True)
    if is_bar and erase:
        print()
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
    if not args.dry_run:
        print(
            f'This demo trains a small model to {TASKS[args.task].aim}, on images that '
            'it draws itself.\nThe complete output of each step is in '
            f'{work_dir}/*.log (--verbose prints it).'
        )
    for number, step in enumerate(steps, 1):
        if args.dry_run:
            print(f'python tools/{step.script} {quote(step.args)}')
            continue
        print(f'[{number}/{len(steps)}] {SENTENCES[step.name]}', flush=True)
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
