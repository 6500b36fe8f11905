"""What all tests share: tiny models, tiny data, and quiet logs."""

import copy
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from .helpers import ROOT, TINY_ARCH

# Two test processes share two cores.
torch.set_num_threads(1)
os.environ.setdefault('OMP_NUM_THREADS', '1')


@pytest.fixture(autouse=True)
def no_scope_left():
    """The default scope that one host sets is none of the next test's."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def tiny_arch() -> dict:
    return dict(TINY_ARCH)


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory) -> Path:
    """A tiny data set of every task: 48 + 16 images."""
    from mmvlfusion.testing.shapes import TASKS, write_dataset

    root = tmp_path_factory.mktemp('shapes')
    write_dataset(root, 'easy', dict(train=48, val=16), TASKS, 0, workers=1)
    return root


@pytest.fixture(scope='session')
def tokenizer_dir(shapes_root, tmp_path_factory) -> Path:
    """A tokenizer of the tiny data set's questions."""
    questions = json.loads(
        (shapes_root / 'vqa/annotations/questions_train.json').read_text()
    )
    texts = [entry['question'] for entry in questions['questions']]
    from mmvlfusion.models.multimodal.tokenizers import train_tokenizer

    folder = tmp_path_factory.mktemp('words')
    train_tokenizer(texts + ['yes no 2'], 200, 1, unused=8).save_pretrained(folder)
    return folder


@pytest.fixture
def real_data() -> Path:
    """The sample of real data, where there is one."""
    root = Path(os.environ.get('MMVLFUSION_DATA', ROOT / 'data'))
    if not (root / 'cifar10').is_dir():
        pytest.skip('no real data: set MMVLFUSION_DATA')
    return root


@pytest.fixture
def free_port() -> str:
    """A port for a process group."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


@pytest.fixture
def run_tool():
    """Run a script and return its output; fail with it on a wrong status."""

    def run(*args, env=None, status=0, cwd=ROOT, launcher=(sys.executable,)):
        result = subprocess.run(
            [*launcher, *map(str, args)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert (result.returncode == 0) == (status == 0), result.stdout
        return result.stdout

    return run


@pytest.fixture
def tiny_config(shapes_root, tmp_path):
    """Write the demo's config on the tiny data, with overrides; its path."""
    from mmengine.config import Config

    def write(overrides=None):
        cfg = Config.fromfile(ROOT / 'configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py')
        root = str(shapes_root / 'classification')
        cfg.merge_from_dict(
            {
                'train_dataloader.batch_size': 8,
                'train_cfg.max_epochs': 2,
                'default_hooks.logger.interval': 2,
                **{
                    f'{name}_dataloader.dataset.data_root': root
                    for name in ('train', 'val', 'test')
                },
            }
        )
        # A copy, since merging takes the _delete_ keys out.
        cfg.merge_from_dict(copy.deepcopy(overrides or {}))
        path = tmp_path / 'tiny.py'
        cfg.dump(path)
        return path

    return write
