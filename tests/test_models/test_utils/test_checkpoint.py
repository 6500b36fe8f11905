"""Loading and saving of checkpoints."""

import argparse
import pickle
import zipfile
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.cli import build_runner
from mmvlfusion.apis.resume import set_resume
from mmvlfusion.engine import InitialWeightsHook
from mmvlfusion.models.utils import check_checkpoint, load_state_dict, save


class Command:
    """An object whose unpickling writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


def write_bytes(content):
    return lambda path: path.write_bytes(content)


def write_zip(names):
    def write(path):
        with zipfile.ZipFile(path, 'w') as archive:
            for name in names:
                archive.writestr(name, b'x')

    return write


def write_torch(content, **kwargs):
    return lambda path: torch.save(content, path, **kwargs)


def write_part(fraction, **kwargs):
    """Write the beginning of a checkpoint."""

    def write(path):
        torch.save(WEIGHTS, path, **kwargs)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return write


def write_command(protocol):
    def write(path):
        path.write_bytes(
            pickle.dumps(Command(path.with_suffix('.ran')), protocol=protocol)
        )

    return write


def write_hidden_command(path):
    torch.save(dict(WEIGHTS, logs=Command(path.with_suffix('.ran'))), path)


def write_getattr(path):
    """Reach the global names of a module by attributes of a harmless class."""
    path.write_bytes(
        b'cbuiltins\ngetattr\n(cmmengine.logging.history_buffer\nHistoryBuffer\n'
        b'V__init__\ntR.'
    )


WEIGHTS = dict(a=torch.ones(3), b=torch.zeros(2, 2))
VALID = dict(
    top_level=write_torch(WEIGHTS),
    state_dict=write_torch(dict(state_dict=WEIGHTS, meta=dict(epoch=1))),
    model=write_torch(dict(model=WEIGHTS, args=argparse.Namespace(lr=0.1))),
    data_parallel=write_torch({f'module.{k}': v for k, v in WEIGHTS.items()}),
    half=write_torch({k: v.half() for k, v in WEIGHTS.items()}),
    bfloat16=write_torch({k: v.bfloat16() for k, v in WEIGHTS.items()}),
    parameters=write_torch({k: torch.nn.Parameter(v) for k, v in WEIGHTS.items()}),
    old_format=write_torch(WEIGHTS, _use_new_zipfile_serialization=False),
    numpy=write_torch(dict(WEIGHTS, mean=np.float64(0.5), std=np.ones(3))),
    history=write_torch(
        dict(state_dict=WEIGHTS, message_hub=HistoryBuffer([1.0, 2.0], [1, 1]))
    ),
    ordered=write_torch(OrderedDict(WEIGHTS)),
)
INVALID = dict(
    empty=(write_bytes(b''), 'it is empty. Copy or download it again'),
    html=(write_bytes(b'<html>404</html>'), 'is not a checkpoint'),
    text=(write_bytes(b'version 1.0\n'), 'is not a checkpoint'),
    pointer=(write_bytes(b'version https://git-lfs'), 'is not a checkpoint'),
    image=(write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(50)), 'is not a checkpoint'),
    zeros=(write_bytes(bytes(1000)), 'is not a checkpoint'),
    other_zip=(write_zip(['readme.txt']), 'it has no data.pkl'),
    broken_pickle=(write_zip(['x/data.pkl']), 'is not a checkpoint'),
    **{
        f'cut_at_{fraction}': (write_part(fraction), 'it is incomplete')
        for fraction in (0.05, 0.5, 0.95)
    },
    **{
        f'old_format_cut_at_{fraction}': (
            write_part(fraction, _use_new_zipfile_serialization=False),
            'is not a checkpoint|cannot be read as a checkpoint',
        )
        for fraction in (0.1, 0.5, 0.99)
    },
    **{
        f'command_{protocol}': (write_command(protocol), 'open.*may run code')
        for protocol in range(6)
    },
    hidden_command=(write_hidden_command, 'open.*may run code'),
    getattr=(write_getattr, '__init__.*may run code'),
    function=(write_torch(dict(WEIGHTS, f=print)), 'builtins.print.*may run code'),
    list=(write_torch([1, 2]), 'a list instead of a dict of weights'),
    no_weights=(write_torch(dict(a=1)), 'holds no weights'),
    empty_weights=(write_torch(dict(state_dict={})), 'holds no weights'),
)


@pytest.mark.parametrize('write', VALID.values(), ids=VALID)
def test_valid_checkpoints_are_read(write, tmp_path):
    path = tmp_path / 'weights.pth'
    write(path)
    check_checkpoint(str(path))
    weights = load_state_dict(str(path))
    assert torch.equal(weights['a'].float(), WEIGHTS['a'])


@pytest.mark.parametrize('write, message', INVALID.values(), ids=INVALID)
def test_invalid_checkpoints_are_refused_without_running_code(write, message, tmp_path):
    path = tmp_path / 'weights.pth'
    write(path)
    with pytest.raises(ValueError, match=message) as error:
        load_state_dict(str(path))
    assert str(path) in str(error.value)
    assert not path.with_suffix('.ran').exists()


@pytest.mark.parametrize('content', [b'', b'abc', b'\xff' * 64])
def test_broken_safetensors_are_refused(content, tmp_path):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='not a complete file of safetensors'):
        load_state_dict(str(path))


def test_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    path = str(tmp_path / 'weights.safetensors')
    save_file(WEIGHTS, path)
    assert torch.equal(load_state_dict(path)['a'], WEIGHTS['a'])


def test_missing_checkpoint_is_named():
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_state_dict('none.pth')


def test_models_are_built_only_from_safe_checkpoints(tmp_path):
    """The loaders of the hosts run what a pickle contains."""
    path = tmp_path / 'weights.pth'
    write_hidden_command(path)
    hook = InitialWeightsHook('')
    runner = SimpleNamespace(_train_loop=None, cfg=dict(load_from=str(path)))
    cfg = Config(dict(model=dict(type='mmvlfusion.TNT'), work_dir=str(tmp_path)))
    for use in (
        lambda: build_model(cfg, str(path)),
        lambda: hook.before_run(runner),
        lambda: set_resume(cfg, str(path)),
        lambda: build_runner(Config(dict(load_from=str(path)))),
    ):
        with pytest.raises(ValueError, match='may run code'):
            use()
    assert not path.with_suffix('.ran').exists()


def test_save_creates_folder(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'model.pth'
    save(dict(x=torch.ones(2)), str(path))
    assert torch.equal(torch.load(path)['x'], torch.ones(2))
