"""Settings that are overridden on the command line."""

import pytest
from mmengine.config import Config

from mmvlfusion.apis.cli import explained_errors
from mmvlfusion.apis.options import check_options, drop_empty_hooks


@pytest.fixture
def cfg():
    root = 'data/shapes'
    return Config(
        dict(
            data_root=root,
            note='any text',
            model=dict(backbone=dict(depth=18)),
            train_dataloader=dict(dataset=dict(data_root=root)),
            val_dataloader=dict(dataset=dict(data_root=root)),
            default_hooks=dict(timer=None, data_files=None, logger=dict(interval=1)),
        )
    )


@pytest.mark.parametrize(
    'option',
    [
        'train_dataloader.dataset.data_root',
        'model.backbone.depth',
        'load_from',
        'note',
        'my_own_setting',
    ],
)
def test_valid_options_pass(cfg, option):
    check_options(cfg, {option: 1})


def test_substituted_variable_is_refused(cfg):
    with pytest.raises(
        ValueError,
        match=r'set train_dataloader\.dataset\.data_root=\.\.\., '
        r'val_dataloader\.dataset\.data_root=\.\.\. instead',
    ):
        check_options(cfg, dict(data_root='/mine'))


@pytest.mark.parametrize(
    'option, suggestion',
    [
        ('dta_root', 'data_root'),
        ('train_dataloder.batch_size', 'train_dataloader'),
        ('modl.backbone.depth', 'model'),
    ],
)
def test_misspelt_option_is_refused(cfg, option, suggestion):
    with pytest.raises(ValueError, match=f"did you mean '{suggestion}'"):
        check_options(cfg, {option: 1})


def test_hooks_of_none_are_dropped(cfg):
    drop_empty_hooks(cfg)
    assert set(cfg.default_hooks) == {'timer', 'logger'}  # mmengine takes None.


@pytest.mark.parametrize(
    'error, message',
    [
        ('end should be larger than begin, but got begin=6', 'begins after'),
        ('other', '^other$'),
    ],
)
def test_short_schedule_is_explained(error, message):
    with pytest.raises(ValueError, match=message), explained_errors():
        raise ValueError(error)
