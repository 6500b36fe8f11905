"""Tutorials run as printed, the model zoo is current, and the site builds."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from .helpers import ROOT, foreground_fraction, load_tool

BLOCK = re.compile(r'^```(bash|python)\n(.*?)^```', re.M | re.S)
# Replacements that shorten the training of a tutorial.
SHORT = dict(
    classification=[
        ('--num-train 2000 --num-val 400', '--num-train 64 --num-val 16'),
        ('max_epochs=10', 'max_epochs=3'),
        ('epoch_10', 'epoch_3'),
        ('T_max=9', 'T_max=1'),
    ],
    detection=[
        ('--num-train 2000 --num-val 200', '--num-train 32 --num-val 16'),
        ('end=30', 'end=1'),
        ('begin=30, T_max=95', 'begin=1, T_max=1'),
    ],
    segmentation=[
        ('--num-train 1600 --num-val 200', '--num-train 16 --num-val 16'),
        ('max_iters=600, val_interval=600', 'max_iters=4, val_interval=4'),
        ('interval=600', 'interval=4'),
        ('iter_600', 'iter_4'),
        (
            '    _base_.param_scheduler[0],',
            '    dict(_base_.param_scheduler[0], end=2),',
        ),
        ('T_max=500', 'begin=2, T_max=2'),
    ],
    vqa=[
        ('--num-train 2000 --num-val 200', '--num-train 32 --num-val 16'),
        ('train_cfg = dict(max_epochs=3)', 'train_cfg = dict(max_epochs=1)'),
        ('epoch_3', 'epoch_1'),
    ],
    captions=[
        ('--num-train 2000 --num-val 200', '--num-train 128 --num-val 16'),
        ('max_epochs=5', 'max_epochs=1'),
        ('epoch_5', 'epoch_1'),
    ],
)
SCORES = dict(
    classification='accuracy/top1',
    detection='coco/bbox_mAP_50',
    segmentation='mIoU',
    vqa='VQA/acc',
    captions='CIDEr',
)


@pytest.mark.parametrize('name', list(SHORT))
def test_tutorial_runs_as_printed(name, run_tool, tmp_path):
    text = (ROOT / f'docs/tutorials/{name}.md').read_text()
    for old, new in SHORT[name]:
        assert old in text, old
        text = text.replace(old, new)
    outputs = ''
    for language, content in BLOCK.findall(text):
        if language == 'python':
            (tmp_path / re.match(r'# (\S+\.py)\n', content)[1]).write_text(content)
            continue
        for command in content.replace('\\\n', '').splitlines():
            python, *arguments = shlex.split(command)
            assert python == 'python'
            outputs += run_tool(*arguments, folder=tmp_path)
    assert SCORES[name] in outputs
    assert foreground_fraction(tmp_path / f'my_{name}.png') > 0.05
    assert (ROOT / f'docs/tutorials/{name}.png').is_file()


def test_model_zoo_is_current(run_tool):
    run_tool('tools/model_zoo.py', '--check')


def test_matrix_of_the_readme_links_to_configs():
    text = (ROOT / 'README.md').read_text()
    tool = load_tool('model_zoo.py')
    rows = tool.MATRIX.search(text)[0].splitlines()[2:]
    assert [row.split(' | ')[0].removeprefix('| ') for row in rows] == list(
        tool.METHODS
    )
    for row in rows:
        paths = re.findall(r'\]\((.*?)\)', row)
        assert paths and all((ROOT / path).is_file() for path in paths), row


@pytest.mark.parametrize(
    'name, task',
    [
        ('jar-base_8xb32-10e_gqa', 'VQA'),
        ('jar-large_8xb32-10e_snli-ve', 'SNLI-VE'),
        ('fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px', 'segmentation'),
        ('mplug-large_retrieval_8xb128-8e_msrvtt-224px', 'video'),
        ('mplug-base_4xb256-30e_image-text-14m-256px', None),
    ],
)
def test_matrix_finds_the_task_of_a_config(name, task):
    tool = load_tool('model_zoo.py')
    collection = 'mPLUG' if 'mplug' in name else 'JAR'
    assert tool.find_task({'Name': name, 'In Collection': collection}) == task


@pytest.mark.e2e
def test_site_builds_without_warnings(tmp_path):
    pytest.importorskip('sphinx')
    result = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q']
        + [str(ROOT / 'docs'), str(tmp_path / 'site')],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'site/index.html').is_file()
    shutil.rmtree(tmp_path / 'site')
