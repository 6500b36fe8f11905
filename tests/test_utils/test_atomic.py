"""Files are written completely or not at all."""

import os
import stat

import pytest
from mmengine.fileio import get_file_backend

import mmvlfusion.engine  # noqa: F401
from mmvlfusion.utils.atomic import atomic_write


def test_interrupted_write_keeps_old_file(tmp_path):
    path = tmp_path / 'folder' / 'file.txt'
    with atomic_write(str(path)) as temporary, open(temporary, 'w') as file:
        file.write('old')
    with (
        pytest.raises(KeyboardInterrupt),
        atomic_write(str(path)) as temporary,
        open(temporary, 'w') as file,
    ):
        file.write('ne')
        raise KeyboardInterrupt
    assert path.read_text() == 'old'
    assert os.listdir(path.parent) == ['file.txt']


def test_links_and_devices_are_kept(tmp_path):
    target, link = tmp_path / 'target', tmp_path / 'link'
    target.write_text('old')
    link.symlink_to(target)
    for path in (str(link), os.devnull):
        with atomic_write(path) as temporary, open(temporary, 'w') as file:
            file.write('new')
    assert link.is_symlink() and target.read_text() == 'new'
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_backend_keeps_old_file_when_interrupted(tmp_path, monkeypatch):
    """An interrupted checkpoint does not replace the old file."""
    backend = get_file_backend(backend_args=dict(backend='mmvlfusion.atomic'))
    path = tmp_path / 'model.pth'
    backend.put(b'complete', path)
    backend.put_text('text', tmp_path / 'text.txt')
    assert path.read_bytes() == b'complete'
    assert (tmp_path / 'text.txt').read_text() == 'text'

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.put(b'torn', path)
    assert path.read_bytes() == b'complete'
    assert sorted(os.listdir(tmp_path)) == ['model.pth', 'text.txt']
