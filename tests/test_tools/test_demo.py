"""The demo: its commands and a run on tiny data."""

import re
import sys

import pytest

from ..helpers import ROOT, load_tool

demo = load_tool('demo.py')


@pytest.mark.parametrize('task', list(demo.TASKS))
def test_dry_run_prints_commands_with_existing_files(task, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['demo.py', task, '--dry-run'])
    demo.main()
    commands = capsys.readouterr().out.strip().split('\n')
    assert f'tools/train.py configs/demo/{task}.py' in '\n'.join(commands)
    for command in commands:
        for path in re.findall(r'(?:tools|configs)/\S+', command):
            assert (ROOT / path).is_file(), path
    # Tasks with text also train a backbone and a tokenizer.
    assert len(commands) == (6 if demo.TASKS[task].has_text else 4)


LOG = '2026/01/02 03:04:05 - mmengine - INFO - '
LINES = {
    'Epoch(train)  [6][ 50/125]  base_lr: 1e-3 lr: 1e-3  eta: 0:01:18  time: 0.2  '
    'grad_norm: 4.7  loss: 1.1343  loss_cls: 1.0': '['
    + '#' * 14
    + '-' * 10
    + ']  60 %  epoch 6 of 9, loss 1.1343, 0:01:18 left',
    'Iter(train) [ 150/1500]  lr: 1e-3  eta: 1 day, 2:03:04  decode.loss_ce: 2.0  '
    'loss: nan': '['
    + '#' * 2
    + '-' * 22
    + ']  10 %  iteration 150 of 1500, loss nan, 1 day, 2:03:04 left',
    'Epoch(val) [5][8/8]    VQA/acc: 71.2500  VQA/acc_what color: 60.0000  '
    'data_time: 0.0477  time: 0.4740': 'score: VQA/acc 71.2, VQA/acc_what color 60.0',
    'Epoch(test) [8/8]    accuracy/top1: 88.0  time: 0.4': 'score: accuracy/top1 88.0',
    'Epoch(test) [ 50/80]    eta: 0:00:02  time: 0.4  data_time: 0.1': None,
    'Checkpoints will be saved to work_dirs.': None,
}


@pytest.mark.parametrize('line', LINES)
def test_progress_is_described(line):
    assert demo.describe_progress(LOG + line, 9) == LINES[line]


def test_every_step_has_a_sentence():
    names = {step.name for task in demo.TASKS for step in demo.make_steps(task)}
    assert names == set(demo.SENTENCES)


@pytest.mark.e2e
def test_demo_runs_on_tiny_data(shapes_root, tmp_path, monkeypatch, capsys):
    root = shapes_root / 'classification'
    tiny = ['--cfg-options', 'train_cfg.max_epochs=2', 'param_scheduler.1.T_max=1']
    tiny += [
        f'{split}_dataloader.dataset.data_root={root}'
        for split in ('train', 'val', 'test')
    ]
    config = ROOT / 'configs/demo/classification.py'
    steps = []
    for step in demo.make_steps('classification')[1:]:
        args = [str(config) if 'configs/' in arg else arg for arg in step.args]
        if step.script == 'train.py':
            args += tiny
        elif step.script == 'test.py':
            args += [tiny[0], *tiny[3:]]
        else:  # The config saved by training uses the tiny data set.
            args[0] = 'work_dirs/demo/classification/classification.py'
        steps.append(step._replace(args=args))
    monkeypatch.setattr(demo, 'make_steps', lambda name: steps)
    monkeypatch.setattr(sys, 'argv', ['demo.py', 'classification'])
    monkeypatch.chdir(tmp_path)
    demo.main()
    output = capsys.readouterr().out
    assert 'trains a small model to name the shape in an image' in output
    assert '] Train the model.\n' in output
    assert re.search(r'\[#{24}\] 100 %  epoch 2 of 2, loss \d', output)
    assert re.search(r'score: accuracy/top1 \d', output)
    # The long log is in a file.
    assert 'mmengine - INFO' not in output
    log = tmp_path / 'work_dirs/demo/classification/1_train.log'
    assert 'mmengine - INFO' in log.read_text()
    picture = tmp_path / 'work_dirs/demo/classification/predictions.png'
    assert re.search(rf'Done in \d+:\d\d: accuracy/top1 \d.*{picture}\n$', output)
    assert picture.is_file()


@pytest.mark.e2e
def test_failed_step_prints_its_output(tmp_path, capsys):
    step = demo.Step('train', 'train.py', ['missing.py'])
    with pytest.raises(SystemExit, match='"train" failed; its output is in'):
        demo.run_step(step, tmp_path / 'train.log', verbose=False)
    assert "'missing.py' does not exist" in capsys.readouterr().out
