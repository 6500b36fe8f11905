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
    assert re.search(r'Epoch\(train\) +\[2\]', output)
    picture = tmp_path / 'work_dirs/demo/classification/predictions.png'
    assert re.search(rf'Done in 0:\d+: accuracy/top1 \d.*{picture}\n$', output)
    assert picture.is_file()


@pytest.mark.e2e
def test_failed_step_prints_its_output(tmp_path, capsys):
    step = demo.Step('train', 'train.py', ['missing.py'])
    with pytest.raises(SystemExit, match='"train" failed; its output is in'):
        demo.run_step(step, tmp_path / 'train.log', verbose=False)
    assert "'missing.py' does not exist" in capsys.readouterr().out
