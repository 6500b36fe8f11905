"""Shared fixtures: tiny models, tiny data and runners of scripts."""

import contextlib
import copy
import functools
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from mmengine.config import utils as config_utils
from mmengine.utils import ManagerMixin

from .helpers import ROOT, TINY_ARCH, load_tool, unformatted

# Two test processes share two cores.
torch.set_num_threads(1)
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Names on the hub fail at once.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
HAS_GPU = torch.cuda.is_available()
if HAS_GPU:
    # Deterministic matmuls need it before the first one.
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
else:
    # Triton's kernels run in its interpreter.
    os.environ.setdefault('TRITON_INTERPRET', '1')


# A config that inherits from a host reads all metafiles of the host.
config_utils.load = functools.lru_cache(maxsize=None)(config_utils.load)

# Names of tests that train a model, compile it, or generate much data.
LONG_TESTS = ('trains', 'overfits', 'distils', 'match_eager', 'cannot_be_guessed')


def pytest_collection_modifyitems(items):
    """Mark end-to-end tests, those that run a script or take long, and skip the
    tests that need a GPU without one."""
    for item in items:
        if item.get_closest_marker('gpu') and not HAS_GPU:
            item.add_marker(pytest.mark.skip(reason='needs a GPU'))
        is_long = any(word in item.name for word in LONG_TESTS)
        if is_long or 'run_tool' in item.fixturenames:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(autouse=True)
def clean_global_state():
    """Remove global objects of mmengine, such as the default scope, after a test."""
    yield
    clear_managers()


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request) -> str:
    """A device: the test runs on the CPU, and on a GPU if there is one."""
    return request.param


@pytest.fixture
def tiny_arch() -> dict:
    return dict(TINY_ARCH)


@pytest.fixture(scope='session')
def shared_folder(tmp_path_factory, worker_id):
    """Make a folder once and share it between all test processes."""
    root = tmp_path_factory.getbasetemp()
    if worker_id != 'master':
        root = root.parent

    def make(name, fill):
        folder = root / f'shared_{name}'
        with FileLock(f'{folder}.lock'):
            if not folder.is_dir():
                partial = root / f'partial_{name}'
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                fill(partial)
                partial.rename(folder)
        return folder

    return make


@pytest.fixture(scope='session')
def shapes_root(shared_folder) -> Path:
    """A tiny data set for every task: 48 images to train and 16 to validate."""
    from mmvlfusion.testing.shapes import TASKS, write_dataset

    return shared_folder(
        'shapes',
        lambda folder: write_dataset(
            folder, 'easy', dict(train=48, val=16), TASKS, 0, workers=1
        ),
    )


@pytest.fixture(scope='session')
def tokenizer_dir(shapes_root, tmp_path_factory) -> Path:
    """A tokenizer trained on the questions of the tiny data set."""
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
    """The folder of real data. The test is skipped if it does not exist."""
    root = Path(os.environ.get('MMVLFUSION_DATA', ROOT / 'data'))
    if not (root / 'cifar10').is_dir():
        pytest.skip('no real data: set MMVLFUSION_DATA')
    return root


@pytest.fixture
def free_port() -> str:
    """A free port for a process group."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def clear_managers():
    """Remove the global objects of mmengine, such as scopes and loggers."""
    pending = [ManagerMixin]
    while pending:
        manager = pending.pop()
        pending += manager.__subclasses__()
        instances = manager.__dict__.get('_instance_dict')
        if instances is not None:
            for instance in instances.values():
                for handler in getattr(instance, 'handlers', []):
                    handler.close()
            instances.clear()


def run_in_process(script, *args, folder=ROOT):
    """Run ``main`` of a script. Return its output and whether it succeeded."""
    output = io.StringIO()
    clear_managers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', unformatted)
        patch.setattr(sys, 'argv', [str(script), *map(str, args)])
        patch.chdir(folder)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                load_tool(ROOT / script).main()
                succeeded = True
            except SystemExit as error:
                succeeded = not error.code
                print(error.code)
            except Exception:
                traceback.print_exc()
                succeeded = False
    clear_managers()
    return output.getvalue(), succeeded


def run_process(*args, env=None, cwd=ROOT, launcher=(sys.executable,)):
    """Run a command in a process. Return its output and whether it succeeded."""
    result = subprocess.run(
        [*launcher, *map(str, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    return result.stdout, result.returncode == 0


@pytest.fixture
def run_tool():
    """Run a script and return its output. Fail on an unexpected exit status.

    Python scripts of ``tools`` and of the hosts run in the test process to save the
    time of their imports, unless ``fresh`` or an option of a process is given. They
    run in ``folder``.
    """

    def run(*args, status=0, fresh=False, folder=ROOT, **options):
        is_tool = re.fullmatch(r'(.*/\.mim/)?tools/.*\.py', str(args[0]))
        if is_tool and not options and not fresh:
            output, succeeded = run_in_process(*args, folder=folder)
        else:
            output, succeeded = run_process(*args, **options)
        assert succeeded == (status == 0), output
        return output

    return run


@pytest.fixture
def tiny_config(shapes_root, tmp_path):
    """Write the config of the demo for the tiny data and return its path."""
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
        # Merging removes the _delete_ keys, so that a copy is passed.
        cfg.merge_from_dict(copy.deepcopy(overrides or {}))
        path = tmp_path / 'tiny.py'
        cfg.dump(path)
        return path

    return write
