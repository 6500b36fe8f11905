"""The wheel and the errors of the set-up script."""

import os
import stat
import subprocess
import sys
import zipfile

import pytest

from .helpers import ROOT


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    # A copy of what git tracks, so that the checkout stays clean.
    files = subprocess.run(
        ['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True
    )
    names = files.stdout.split('\n')[:-1]
    if not names:
        pytest.skip('not a git checkout')
    subprocess.run(['cp', '-a', '--parents', *names, folder], cwd=ROOT, check=True)
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '-q',
            '--no-deps',
            '--no-build-isolation',
            '-w',
            folder / 'dist',
            folder,
        ],
        check=True,
    )
    return next((folder / 'dist').glob('*.whl'))


def test_wheel_contains_configs_and_tools(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for source in ('configs', 'tools'):
        for path in (ROOT / source).rglob('*'):
            if path.suffix in ('.py', '.yml', '.md', '.sh'):
                inside = f'mmvlfusion/.mim/{path.relative_to(ROOT)}'
                assert inside in names
    assert 'mmvlfusion/.mim/model-index.yml' in names
    assert 'mmvlfusion/models/backbones/tnt/tnt.py' in names
    assert not any(name.startswith('tests') for name in names)
    metadata = next(name for name in names if name.endswith('/METADATA'))
    required = [
        line
        for line in zipfile.ZipFile(wheel).read(metadata).decode().split('\n')
        if line.startswith('Requires-Dist') and 'extra ==' not in line
    ]
    assert required == []


def test_wheel_works_without_checkout(wheel, tmp_path, run_tool):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    output = run_tool(
        '-c',
        'import mmengine.hub, mmvlfusion\n'
        'print(mmvlfusion.__file__)\n'
        'import mmvlfusion.models\n'
        'from mmengine.config import Config\n'
        'from pathlib import Path\n'
        'root = Path(mmvlfusion.__file__).parent / ".mim"\n'
        'cfg = Config.fromfile('
        'root / "configs/tnt/tnt-small-p16_8xb128-300e_in1k.py")\n'
        'print(cfg.model.backbone.type)',
        cwd=tmp_path,
        env=dict(PYTHONPATH=str(tmp_path)),
    )
    assert str(tmp_path) in output and 'mmvlfusion.TNT' in output


def write_command(folder, name, script):
    """Write an executable shell script."""
    path = folder / name
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def setup_error(tmp_path, **env):
    """Run the set-up script and return its error message."""
    env = {
        **os.environ,
        'PYTHON': sys.executable,
        'STACK': '',
        'VENV': str(tmp_path / 'venv'),
        'PATH': f'{tmp_path}:{os.environ["PATH"]}',
        **env,
    }
    result = subprocess.run(
        [ROOT / 'requirements/setup.sh'],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1, result.stderr
    assert result.stderr.startswith('mmvlfusion: ')
    return result.stderr


def test_setup_rejects_missing_python(tmp_path):
    assert "'/no/python'" in setup_error(tmp_path, PYTHON='/no/python')


def test_setup_rejects_unsupported_python(tmp_path):
    write_command(
        tmp_path,
        'oldpython',
        'case "$2" in *version_info*) exit 1 ;; esac; echo Python 3.8.0',
    )
    assert 'Python 3.8.0 is not supported: set PYTHON= to Python 3.10' in setup_error(
        tmp_path, PYTHON='oldpython'
    )


def test_setup_rejects_python_that_the_stack_does_not_support(tmp_path):
    write_command(
        tmp_path,
        'newpython',
        'case "$*" in *"3.10, 3.11") exit 1 ;; esac; echo Python 3.12.1',
    )
    message = setup_error(tmp_path, PYTHON='newpython', STACK='openmmlab-torch2.1')
    assert 'Python 3.12.1 is not supported: set PYTHON= to Python 3.10, 3.11' in message


def test_setup_rejects_unknown_stack(tmp_path):
    message = setup_error(tmp_path, STACK='torch1.8')
    assert "no stack 'torch1.8': set STACK= to one of" in message
    assert 'openmmlab-torch2.1' in message


def test_setup_rejects_missing_compiler(tmp_path):
    assert "the C++ compiler '/no/c++' was not found" in setup_error(
        tmp_path, CXX='/no/c++'
    )


def test_setup_rejects_too_little_disk_space(tmp_path):
    write_command(tmp_path, 'df', 'echo header; echo d 1 1 2097152 1% /')
    assert '2 GB of disk space are free' in setup_error(tmp_path)


def test_setup_reports_unreachable_package_index(tmp_path):
    message = setup_error(
        tmp_path,
        PIP_INDEX_URL='http://127.0.0.1:9/simple',
        PIP_RETRIES='0',
        PIP_CONFIG_FILE='/dev/null',
        PIP_FIND_LINKS='',
        PIP_NO_CACHE_DIR='1',
    )
    assert 'cannot reach the package index' in message
