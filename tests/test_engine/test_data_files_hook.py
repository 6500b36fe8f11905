"""Training stops if annotations do not match their images."""

import json
import types

import cv2
import mmdet.datasets  # noqa: F401
import pytest
from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from mmvlfusion.engine import DataFilesHook
from mmvlfusion.testing.shapes.scene import KINDS


def check(*datasets, train=True):
    loaders = [types.SimpleNamespace(dataset=d) for d in datasets] * 2
    runner = types.SimpleNamespace(
        train_dataloader=loaders[0],
        val_dataloader=loaders[1],
        test_dataloader=loaders[0],
        val_loop=object(),
    )
    hook = DataFilesHook()
    (hook.before_train if train else hook.before_test)(runner)


def coco(
    root,
    classes=KINDS,
    ann_file='annotations/instances_val2017.json',
    prefix='val2017/',
):
    return DATASETS.build(
        dict(
            type='mmdet.CocoDataset',
            data_root=str(root),
            metainfo=dict(classes=tuple(classes)),
            ann_file=str(ann_file),
            data_prefix=dict(img=prefix),
            serialize_data=False,
            pipeline=[],
        )
    )


def ade(root, classes=('background', *KINDS), maps='annotations/validation'):
    return DATASETS.build(
        dict(
            type='mmseg.BaseSegDataset',
            data_root=str(root),
            metainfo=dict(classes=tuple(classes)),
            data_prefix=dict(img_path='images/validation', seg_map_path=str(maps)),
            reduce_zero_label=True,
            pipeline=[],
        )
    )


def test_accepts_matching_data(shapes_root):
    data = coco(shapes_root / 'coco'), ade(shapes_root / 'ade')
    check(*data)
    check(*data, train=False)
    check(
        DATASETS.build(
            dict(
                type='ConcatDataset',
                datasets=[
                    dict(type='RepeatDataset', dataset=data[0], times=2),
                    data[0],
                ],
            )
        )
    )


def test_rejects_images_of_another_split(shapes_root):
    with pytest.raises(
        FileNotFoundError, match='instances_val2017.* missing: check data_root'
    ):
        check(coco(shapes_root / 'coco', prefix='train2017/'))


def test_rejects_other_classes(shapes_root):
    with pytest.raises(
        ValueError,
        match='only 1 of the 2 classes circle, dog, ...: set metainfo.classes',
    ):
        check(coco(shapes_root / 'coco', classes=('circle', 'dog')))


def test_accepts_subset_of_classes(shapes_root):
    """The labels of the other classes are mapped to 255 by mmseg."""

    class Shapes(BaseSegDataset):
        METAINFO = dict(classes=('background', *KINDS))

    check(
        Shapes(
            data_root=str(shapes_root / 'ade'),
            metainfo=dict(classes=('star',)),
            data_prefix=dict(
                img_path='images/validation', seg_map_path='annotations/validation'
            ),
            reduce_zero_label=True,
            pipeline=[],
        )
    )


def test_rejects_annotations_without_images(shapes_root, tmp_path):
    path = tmp_path / 'empty.json'
    content = json.loads(
        (shapes_root / 'coco/annotations/instances_val2017.json').read_text()
    )
    path.write_text(json.dumps({**content, 'images': []}))
    with pytest.raises(ValueError, match='empty.json.* has no images'):
        check(coco(shapes_root / 'coco', ann_file=path))


def test_rejects_other_image_sizes(shapes_root, tmp_path):
    path = tmp_path / 'sizes.json'
    content = json.loads(
        (shapes_root / 'coco/annotations/instances_val2017.json').read_text()
    )
    for image in content['images']:
        image['width'] = 77
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError,
        match='77 x 128 pixels, but it has '
        '128 x 128: the annotations are of other images',
    ):
        check(coco(shapes_root / 'coco', ann_file=path))


@pytest.mark.parametrize(
    'case, error, message',
    [
        ('missing', FileNotFoundError, 'missing: check data_root'),
        ('size', ValueError, 'of 128 x 128 pixels with .* of 9 x 9'),
        ('labels', ValueError, r'the label \d .*the last label of its 2 classes is 2'),
    ],
)
def test_rejects_bad_label_maps(case, error, message, shapes_root, tmp_path):
    kwargs = {}
    if case == 'labels':
        kwargs['classes'] = ('background', 'circle')
    else:
        kwargs['maps'] = tmp_path
    if case == 'size':
        for path in (shapes_root / 'ade/annotations/validation').iterdir():
            label_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(tmp_path / path.name), label_map[:9, :9])
    with pytest.raises(error, match=message):
        check(ade(shapes_root / 'ade', **kwargs))


def test_rejects_unreadable_label_map(shapes_root, tmp_path):
    maps = shapes_root / 'ade/annotations/validation'
    for path in maps.iterdir():
        (tmp_path / path.name).write_bytes(b'no image')
    with pytest.raises(ValueError, match='png, which cannot be read as an'):
        check(ade(shapes_root / 'ade', maps=tmp_path))
