"""Choice of the checkpoint to resume from."""

import os

import pytest
import torch
from mmengine.config import Config

from mmvlfusion.apis.resume import latest_complete_checkpoint, set_resume


@pytest.fixture
def work_dir(tmp_path):
    """A work directory with three checkpoints and a ``last_checkpoint`` file."""
    for number in (1, 2, 10):
        path = tmp_path / f'epoch_{number}.pth'
        torch.save(dict(number=number), path)
        os.utime(path, (number, number))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_last_checkpoint_is_used(work_dir):
    assert latest_complete_checkpoint(str(work_dir)) == str(work_dir / 'epoch_10.pth')


@pytest.mark.parametrize('damage', [truncate, os.remove])
def test_incomplete_checkpoint_falls_back_to_newest_complete(work_dir, damage, capsys):
    damage(work_dir / 'epoch_10.pth')
    assert latest_complete_checkpoint(str(work_dir)) == str(work_dir / 'epoch_2.pth')
    output = capsys.readouterr().out
    assert 'epoch_10.pth is missing or truncated; resuming from' in output


def test_newest_checkpoint_is_used_without_last_checkpoint_file(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    assert latest_complete_checkpoint(str(work_dir)) == str(work_dir / 'epoch_10.pth')


def test_first_start_keeps_load_from(tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    assert cfg.load_from == 'pretrained.pth'
    assert not cfg.get('resume')


def test_resume_replaces_load_from(work_dir):
    cfg = Config(dict(work_dir=str(work_dir), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    assert cfg.resume and cfg.load_from == str(work_dir / 'epoch_10.pth')
    set_resume(cfg, str(work_dir / 'epoch_1.pth'))
    assert cfg.resume and cfg.load_from == str(work_dir / 'epoch_1.pth')


def test_rejects_missing_and_truncated_checkpoints(work_dir):
    cfg = Config(dict(work_dir=str(work_dir)))
    with pytest.raises(FileNotFoundError, match="'none.pth' does not exist"):
        set_resume(cfg, 'none.pth')
    truncate(work_dir / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'epoch_1\.pth. is truncated'):
        set_resume(cfg, str(work_dir / 'epoch_1.pth'))
