"""Loading of published folders and of models on the hub."""

import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

import mmvlfusion
from mmvlfusion.models.utils import load_state_dict, save_safetensors


class Tied(torch.nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 3)
        self.second = torch.nn.Linear(3, 3)
        self.second.weight = self.first.weight


@pytest.mark.parametrize(
    'name', ['missing/folder/deep', './missing', '/missing', 'a b', '../missing/x']
)
def test_missing_folder_is_named(name):
    with pytest.raises(FileNotFoundError, match='does not exist, and it is not a name'):
        mmvlfusion.from_pretrained(name)


def test_folder_without_weights_is_named(tmp_path):
    (tmp_path / 'config.py').write_text('')
    with pytest.raises(FileNotFoundError, match='has no model.safetensors'):
        mmvlfusion.from_pretrained(str(tmp_path))


def test_hub_name_is_downloaded(tmp_path, monkeypatch):
    calls = []

    def download(name, revision, allow_patterns):
        calls.append((name, revision))
        # No code but the config is downloaded.
        assert [x for x in allow_patterns if x.endswith('.py')] == ['config.py']
        return str(tmp_path)

    hub = SimpleNamespace(snapshot_download=download)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    with pytest.raises(FileNotFoundError, match='owner/model has no config.py'):
        mmvlfusion.from_pretrained('owner/model', revision='v1')
    assert calls == [('owner/model', 'v1')]

    def fail(*args, **kwargs):
        raise OSError('no network')

    hub.snapshot_download = fail
    with pytest.raises(FileNotFoundError, match='no network.*check the name'):
        mmvlfusion.from_pretrained('owner/model')


def test_safetensors_restore_tied_weights_and_classes(tmp_path):
    path = str(tmp_path / 'new/model.safetensors')
    model = Tied()
    palette = [(1, 2, 3), (4, 5, 6)]
    save_safetensors(model, path, dict(classes=('a', 'b'), palette=palette))
    # A tied weight is stored once.
    from safetensors import safe_open

    with safe_open(path, 'pt') as file:
        assert len(list(file.keys())) == 3
    assert load_state_dict(path).keys() == model.state_dict().keys()
    other = Tied()
    # The function that every host calls.
    loaded = load_checkpoint(other, path, map_location='cpu', strict=True)
    assert torch.equal(other.second.weight, model.first.weight)
    assert loaded['meta']['dataset_meta'] == dict(classes=['a', 'b'], palette=palette)


def test_other_addresses_keep_their_loaders():
    for path in ('https://host/x.safetensors', 'x.pth'):
        loader = CheckpointLoader._get_checkpoint_loader(path)
        assert loader.__name__ != 'load_from_safetensors'
    loader = CheckpointLoader._get_checkpoint_loader('/a/b.safetensors')
    assert loader.__name__ == 'load_from_safetensors'
