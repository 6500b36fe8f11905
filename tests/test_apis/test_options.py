"""Settings that are overridden on the command line."""

import mmengine
import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config

from mmvlfusion.apis.build import drop_idle_persistence
from mmvlfusion.apis.cli import explained_errors
from mmvlfusion.apis.options import (
    check_options,
    drop_empty_hooks,
    warn_of_unread_keys,
)

from ..helpers import ROOT, load_tool


@pytest.fixture
def cfg():
    root = 'data/shapes'
    return Config(
        dict(
            data_root=root,
            ann_root='data/annotations',
            train_pipeline=[dict(type='PackInputs')],
            num_classes=8,
            note='any text',
            model=dict(backbone=dict(depth=18), head=dict(num_classes=8)),
            train_dataloader=dict(
                dataset=dict(data_root=root, pipeline=[dict(type='PackInputs')])
            ),
            val_dataloader=dict(
                dataset=dict(
                    data_root=root,
                    datasets=[dict(ann_file='data/annotations/val.json')],
                )
            ),
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
    'option, use',
    [
        ('ann_root', 'val_dataloader.dataset.datasets.0.ann_file'),
        ('train_pipeline.0.type', 'train_dataloader.dataset.pipeline'),
        ('num_classes', 'model.head.num_classes'),
    ],
)
def test_variables_of_all_kinds_are_refused(cfg, option, use):
    with pytest.raises(ValueError, match=f'set {use}=\\.\\.\\. instead'):
        check_options(cfg, {option: 1})


def test_unread_keys_of_a_config_file_are_reported(cfg, capsys):
    warn_of_unread_keys(cfg)
    assert not capsys.readouterr().out
    cfg.data_root = '/mine'
    cfg.train_dataloder = dict(batch_size=3)
    warn_of_unread_keys(cfg)
    output = capsys.readouterr().out
    assert "No data set reads data_root='/mine'" in output
    assert 'set train_dataloader.dataset.data_root=..., val_dataloader' in output
    assert "Nothing reads 'train_dataloder' of the config: did you mean" in output


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


def small_coco(folder, part, field, value):
    """Write an annotation file of one image, and change or remove a field."""
    content = dict(
        images=[dict(id=7, file_name='a.jpg', width=8, height=8)],
        annotations=[dict(id=1, image_id=7, category_id=1, bbox=[1, 1, 4, 4], area=16)],
        categories=[dict(id=1, name='shape')],
    )
    if field is None:
        del content[part]
    elif value is None:
        del content[part][0][field]
    else:
        content[part][0][field] = value
    mmengine.dump(content, folder / 'coco.json')
    return CocoDataset(
        data_root=str(folder),
        ann_file='coco.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('shape',)),
    )


@pytest.mark.parametrize(
    'part, field',
    [
        ('images', 'width'),
        ('images', 'height'),
        ('annotations', 'area'),
        ('annotations', 'bbox'),
        ('annotations', 'category_id'),
        ('categories', None),
    ],
)
def test_missing_field_of_coco_is_named(part, field, tmp_path):
    message = f"coco.json.* cannot be read: the field '{field or part}' is missing"
    with pytest.raises(ValueError, match=message), explained_errors():
        small_coco(tmp_path, part, field, None)


def test_wrong_value_of_coco_is_named(tmp_path):
    with (
        pytest.raises(ValueError, match='coco.json, image 7, cannot be .* TypeError'),
        explained_errors(),
    ):
        small_coco(tmp_path, 'images', 'width', 'wide')


def test_optional_fields_of_coco_may_be_missing(tmp_path):
    with explained_errors():
        assert len(small_coco(tmp_path, 'images', 'license', 1)) == 1


def test_other_errors_are_not_changed():
    with pytest.raises(KeyError, match='unrelated'), explained_errors():
        raise KeyError('unrelated')


@pytest.mark.parametrize('workers, persistent', [(0, False), (2, True)])
def test_loaders_without_workers_are_not_persistent(workers, persistent):
    loader = dict(num_workers=workers, persistent_workers=True)
    drop_idle_persistence(loader)
    assert loader['persistent_workers'] == persistent


def test_accumulation_scales_the_base_batch_size(tmp_path, monkeypatch, capsys):
    """A quarter of the steps have four times the samples."""
    path = ROOT / 'configs/mplug/mplug-large_grounding_8xb24-120e_refcoco-336px.py'
    base = Config.fromfile(path).auto_scale_lr.base_batch_size
    tool = load_tool('train.py')
    options = ['--auto-scale-lr', '--cfg-options', 'optim_wrapper.accumulative_counts=']
    for counts, factor in ((4, 1), (16, 4), (1, 1 / 4)):
        words = ['train.py', str(path), *options[:-1], f'{options[-1]}{counts}']
        monkeypatch.setattr('sys.argv', words)
        args = tool.parse_args()
        cfg = tool.load_config(args)
        tool.merge_args(cfg, args)
        assert cfg.auto_scale_lr.base_batch_size == base / factor
        assert ('accumulative_counts' in capsys.readouterr().out) == (factor != 1)
