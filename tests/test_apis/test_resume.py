"""Which checkpoint a training goes on from."""

import os

import pytest
import torch
from mmengine.config import Config

from mmvlfusion.apis.resume import latest_complete_checkpoint, set_resume


@pytest.fixture
def run(tmp_path):
    """A work directory with three checkpoints, of which the last is named."""
    for number in (1, 2, 10):
        path = tmp_path / f'epoch_{number}.pth'
        torch.save(dict(number=number), path)
        os.utime(path, (number, number))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_last_checkpoint(run):
    assert latest_complete_checkpoint(str(run)) == str(run / 'epoch_10.pth')


@pytest.mark.parametrize('damage', [truncate, os.remove])
def test_newest_complete_one_instead_of_a_torn_one(run, damage, capsys):
    damage(run / 'epoch_10.pth')
    assert latest_complete_checkpoint(str(run)) == str(run / 'epoch_2.pth')
    output = capsys.readouterr().out
    assert 'epoch_10.pth is missing or truncated; resuming from' in output


def test_file_of_the_name_is_missing(run):
    (run / 'last_checkpoint').unlink()
    assert latest_complete_checkpoint(str(run)) == str(run / 'epoch_10.pth')


def test_first_start_keeps_the_initial_weights(tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    assert cfg.load_from == 'pretrained.pth'
    assert not cfg.get('resume')


def test_resumption_replaces_the_initial_weights(run):
    cfg = Config(dict(work_dir=str(run), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    assert cfg.resume and cfg.load_from == str(run / 'epoch_10.pth')
    set_resume(cfg, str(run / 'epoch_1.pth'))
    assert cfg.resume and cfg.load_from == str(run / 'epoch_1.pth')


def test_bad_checkpoints_are_refused(run):
    cfg = Config(dict(work_dir=str(run)))
    with pytest.raises(FileNotFoundError, match="'none.pth' does not exist"):
        set_resume(cfg, 'none.pth')
    truncate(run / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'epoch_1\.pth. is truncated'):
        set_resume(cfg, str(run / 'epoch_1.pth'))
