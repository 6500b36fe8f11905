"""Loading and saving of checkpoints."""

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmvlfusion.models.utils import load_state_dict, save


def test_load_state_dict_rejects_unsafe_files(tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1)), f=print), path)
    with pytest.raises(ValueError, match='evil.pth cannot be read safely'):
        load_state_dict(str(path))
    with pytest.raises(ValueError, match='only its weights first: torch.save'):
        load_state_dict(str(path))
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_state_dict('none.pth')
    torch.save(dict(a=1), path)
    with pytest.raises(ValueError, match='holds no weights'):
        load_state_dict(str(path))


def test_save_creates_folder(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'model.pth'
    save(dict(x=torch.ones(2)), str(path))
    assert torch.equal(torch.load(path)['x'], torch.ones(2))


def test_trusted_training_checkpoint_is_read(tmp_path):
    """Training checkpoints of mmengine hold logs as Python objects."""
    path = str(tmp_path / 'epoch_1.pth')
    logs = dict(loss=HistoryBuffer([0.5], [1]))
    torch.save(dict(state_dict=dict(a=torch.ones(1)), message_hub=logs), path)
    with pytest.raises(ValueError, match='cannot be read safely'):
        load_state_dict(path)
    assert torch.equal(load_state_dict(path, trusted=True)['a'], torch.ones(1))
