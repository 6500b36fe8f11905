"""Training stops if annotations do not match their images."""

import json
import types

import cv2
import mmdet.datasets  # noqa: F401
import mmengine
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, TRANSFORMS
from mmseg.datasets import BaseSegDataset
from mmseg.models import SegDataPreProcessor
from PIL import ExifTags, Image
from torch import nn
from torch.utils.data import DataLoader

from mmvlfusion.datasets import RefCOCO
from mmvlfusion.engine import DataFilesHook
from mmvlfusion.testing.shapes.scene import KINDS


def check(*datasets, train=True, model=None, batch_size=1):
    loaders = [
        DataLoader(data, batch_size, collate_fn=pseudo_collate) for data in datasets
    ] * 2
    runner = types.SimpleNamespace(
        model=model or nn.Identity(),
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


@pytest.fixture
def warnings_of_hook(tmp_path):
    """Return the text of the log."""
    MMLogger.get_instance('data_files', log_file=str(tmp_path / 'hook.log'))
    return lambda: (tmp_path / 'hook.log').read_text()


# Classes and label maps.


def categories(root, change):
    """Copy the annotation file with other categories."""
    content = mmengine.load(root / 'coco/annotations/instances_val2017.json')
    return {**content, **change(content)}


def reverse(content):
    return dict(categories=content['categories'][::-1])


def renumber(content):
    return dict(
        categories=[
            dict(entry, id=entry['id'] + 20) for entry in content['categories']
        ],
        annotations=[
            dict(entry, category_id=entry['category_id'] + 20)
            for entry in content['annotations']
        ],
    )


def test_rejects_classes_in_another_order_than_the_file(shapes_root, tmp_path):
    root = shapes_root / 'coco'
    message = f"objects of '{KINDS[0]}' would be labelled '{KINDS[-1]}'"
    with pytest.raises(ValueError, match=message):
        check(coco(root, classes=KINDS[::-1]))
    path = tmp_path / 'reversed.json'
    mmengine.dump(categories(shapes_root, reverse), path)
    with pytest.raises(ValueError, match='Set metainfo.classes to .* in all data sets'):
        check(coco(root, ann_file=path))
    check(coco(root, ann_file=path, classes=KINDS[::-1]))


def test_accepts_other_category_ids(shapes_root, tmp_path):
    path = tmp_path / 'renumbered.json'
    mmengine.dump(categories(shapes_root, renumber), path)
    check(coco(shapes_root / 'coco', ann_file=path))
    check(coco(shapes_root / 'coco', ann_file=path, classes=KINDS[1:3]))


def test_rejects_classes_that_are_a_string(shapes_root):
    data = coco(shapes_root / 'coco', classes=KINDS[:1])
    data._metainfo['classes'] = KINDS[0]
    with pytest.raises(ValueError, match=rf"write \('{KINDS[0]}', \) for one class"):
        check(data)


def seg(folder, label_maps, classes=('a', 'b'), **kwargs):
    """Write label maps with images of their sizes, and make the data set."""
    (folder / 'images').mkdir()
    (folder / 'maps').mkdir()
    for number, label_map in enumerate(label_maps):
        image = label_map
        if not isinstance(image, Image.Image):
            image = Image.fromarray(np.asarray(label_map))
        image.save(folder / f'maps/{number}.png')
        Image.new('RGB', image.size).save(folder / f'images/{number}.jpg')
    return BaseSegDataset(
        data_root=str(folder),
        metainfo=dict(classes=classes),
        data_prefix=dict(img_path='images', seg_map_path='maps'),
        **kwargs,
    )


def of_labels(*labels, dtype=np.uint8):
    """Make a label map with a row for each label."""
    return np.repeat(np.array(labels, dtype=dtype)[:, None], 6, 1)


@pytest.mark.parametrize(
    'label_maps, reduce_zero_label, message',
    [
        ([(0, 255)] * 3, False, r'labels \[0, 255\] .*stored? the labels'),
        ([(0,), (0, 255), (255,)], False, r'labels \[0, 255\]'),
        ([(255,)] * 3, False, r'labels \[255\]'),
        ([(0, 1)] * 3, True, r'\[0\] are ignored.*set reduce_zero_label=False'),
        ([(0, 255)] * 3, True, r'\[0, 255\] are ignored'),
    ],
)
def test_rejects_label_maps_of_one_class(
    label_maps, reduce_zero_label, message, tmp_path
):
    maps = [of_labels(*labels) for labels in label_maps]
    with pytest.raises(ValueError, match=message):
        check(seg(tmp_path, maps, reduce_zero_label=reduce_zero_label))


def palette_map(*labels):
    image = Image.fromarray(of_labels(*labels)).convert('P')
    image.putdata([label for label in labels for _ in range(6)])
    image.putpalette([0, 0, 0, 255, 0, 0])
    return image


@pytest.mark.parametrize(
    'label_maps',
    [
        [of_labels(0, 1)],
        [of_labels(0, 255)],
        [of_labels(0)] * 3,
        [of_labels(1)] * 3,
        [of_labels(0, 255), of_labels(1)],
        [of_labels(0, 255)] * 40 + [of_labels(1)] + [of_labels(0, 255)] * 40,
        [of_labels(False, True, dtype=bool)] * 3,
        [of_labels(0, 1, 65535, dtype=np.uint16)] * 3,
        [palette_map(0, 1)] * 3,
        [palette_map(0), palette_map(1, 0)],
    ],
    ids=[
        'two classes',
        'one map',
        'crops of the first class',
        'crops of the last class',
        'crops with ignored pixels',
        'one map among many',
        'one bit',
        '16 bits',
        'palette',
        'palette, crops',
    ],
)
def test_accepts_valid_label_maps(label_maps, tmp_path):
    check(seg(tmp_path, label_maps))


def test_accepts_label_maps_of_the_only_class(tmp_path):
    check(seg(tmp_path, [of_labels(0, 255)] * 2, classes=('a',)))


def test_rejects_labels_of_16_bits_without_a_class(tmp_path):
    maps = [of_labels(0, 257, 65535, dtype=np.uint16)] * 2
    with pytest.raises(ValueError, match='the label 257 in'):
        check(seg(tmp_path, maps))


def test_warns_of_ignored_first_class(tmp_path, warnings_of_hook):
    """With reduce_zero_label, the labels of three classes are 1, 2 and 3."""
    (tmp_path / 'wrong').mkdir()
    (tmp_path / 'right').mkdir()
    options = dict(classes=('road', 'car', 'tree'), reduce_zero_label=True)
    check(seg(tmp_path / 'right', [of_labels(0, 1, 2, 3)] * 2, **options))
    assert warnings_of_hook() == ''
    check(seg(tmp_path / 'wrong', [of_labels(0, 1, 2)] * 2, **options))
    assert "If 0 is 'road' in your files, set reduce_zero_label=False" in (
        warnings_of_hook()
    )


# Sizes and orientations of images.

TURNED = 6
UPSIDE_DOWN = 3


def save_photograph(path, size, orientation=None):
    """Write a JPEG that is red on the left."""
    image = Image.new('RGB', size)
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif)


def photographs(folder, stored, orientation, annotated, pipeline=()):
    """Make a COCO data set of one photograph."""
    save_photograph(folder / 'a.jpg', stored, orientation)
    box = dict(bbox=[2, 3, 10, 12], area=120, category_id=1, image_id=1, id=1)
    width, height = annotated
    image = dict(id=1, file_name='a.jpg', width=width, height=height)
    mmengine.dump(
        dict(
            images=[image],
            annotations=[box],
            categories=[dict(id=1, name='shape')],
        ),
        folder / 'photographs.json',
    )
    return DATASETS.build(
        dict(
            type='mmdet.CocoDataset',
            data_root=str(folder),
            metainfo=dict(classes=('shape',)),
            ann_file='photographs.json',
            data_prefix=dict(img=''),
            pipeline=list(pipeline),
        )
    )


def test_rejects_photographs_that_are_rotated_without_their_boxes(tmp_path):
    data = photographs(tmp_path, (128, 96), TURNED, (128, 96))
    with pytest.raises(
        ValueError,
        match='stored with 128 x 96 pixels and rotated to 96 x 128 .* '
        "color_type='color_ignore_orientation'",
    ):
        check(data)


@pytest.mark.parametrize('orientation', [None, 1, TURNED, UPSIDE_DOWN])
def test_accepts_boxes_of_the_loaded_image(orientation, tmp_path, warnings_of_hook):
    size = (96, 128) if orientation == TURNED else (128, 96)
    check(photographs(tmp_path, (128, 96), orientation, size))
    assert ('rotated or flipped' in warnings_of_hook()) == (orientation == UPSIDE_DOWN)


def test_accepts_boxes_of_the_stored_image_if_orientation_is_ignored(
    tmp_path, warnings_of_hook
):
    loading = dict(type='LoadImageFromFile', color_type='color_ignore_orientation')
    check(photographs(tmp_path, (128, 96), TURNED, (128, 96), [loading]))
    check(photographs(tmp_path, (128, 96), UPSIDE_DOWN, (128, 96), [loading]))
    assert warnings_of_hook() == ''


def test_warns_of_square_photographs_that_are_rotated(tmp_path, warnings_of_hook):
    check(photographs(tmp_path, (96, 96), TURNED, (96, 96)))
    assert 'a.jpg, because of the orientation' in warnings_of_hook()


def test_rejects_exchanged_width_and_height(tmp_path):
    data = photographs(tmp_path, (128, 96), None, (96, 128))
    with pytest.raises(ValueError, match='width and height are exchanged'):
        check(data)


def test_accepts_grey_photographs(tmp_path):
    data = photographs(tmp_path, (128, 96), None, (128, 96))
    Image.new('L', (128, 96)).save(tmp_path / 'a.jpg')
    check(data)


@pytest.mark.parametrize('orientation', [None, TURNED, UPSIDE_DOWN])
def test_checks_label_maps_of_photographs(orientation, tmp_path, warnings_of_hook):
    data = seg(tmp_path, [of_labels(*[0, 1] * 4)] * 2)
    save_photograph(tmp_path / 'images/0.jpg', (6, 8), orientation)
    if orientation == TURNED:
        with pytest.raises(ValueError, match='stored with 6 x 8 pixels and rotated'):
            check(data)
        Image.fromarray(of_labels(*[0, 1] * 3).repeat(2, 1)[:, :8]).save(
            tmp_path / 'maps/0.png'
        )
    check(data)
    assert ('rotated or flipped' in warnings_of_hook()) == (orientation == UPSIDE_DOWN)


def referring(folder, orientation, **size):
    """Make a data set of one referring expression."""
    save_photograph(folder / 'a.jpg', (128, 96), orientation)
    mmengine.dump(
        dict(
            images=[dict(id=5, file_name='a.jpg', **size)],
            annotations=[dict(id=1, image_id=5, bbox=[2, 3, 10, 20])],
        ),
        folder / 'instances.json',
    )
    reference = dict(ann_id=1, split='train', sentences=[dict(sent='the star')])
    mmengine.dump([reference], folder / 'refs.json')
    return RefCOCO('instances.json', 'refs.json', '', data_root=str(folder))


def test_checks_photographs_of_referring_expressions(tmp_path, warnings_of_hook):
    check(referring(tmp_path, None, width=128, height=96))
    check(referring(tmp_path, TURNED, width=96, height=128))
    check(referring(tmp_path, None))
    assert warnings_of_hook() == ''
    check(referring(tmp_path, TURNED))
    assert 'rotated or flipped' in warnings_of_hook()
    with pytest.raises(ValueError, match='stored with 128 x 96 pixels and rotated'):
        check(referring(tmp_path, TURNED, width=128, height=96))


def test_accepts_images_beyond_the_limit_of_pillow(tmp_path):
    """mmcv's loader reads them with OpenCV."""
    side = 14_000
    limit = Image.MAX_IMAGE_PIXELS
    data = photographs(tmp_path, (4, 4), None, (side, side))
    Image.new('1', (side, side)).save(tmp_path / 'a.png')
    (tmp_path / 'a.png').rename(tmp_path / 'a.jpg')
    check(data)
    assert limit == Image.MAX_IMAGE_PIXELS
    loading = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    data.pipeline.transforms.append(TRANSFORMS.build(loading))
    with pytest.raises(ValueError, match="a.jpg, which is too large.*='cv2'"):
        check(data)


# Batches.


def test_rejects_validation_batches_of_several_sizes(tmp_path):
    maps = [of_labels(0, 1), of_labels(0, 1, 1)]
    steps = [
        dict(type='mmseg.LoadImageFromFile'),
        dict(type='mmseg.LoadAnnotations'),
    ]
    packing = dict(type='mmseg.PackSegInputs')
    data = seg(tmp_path, maps, pipeline=[*steps, packing])
    model = nn.Module()
    model.data_preprocessor = SegDataPreProcessor()
    check(data, model=model)
    with pytest.raises(
        ValueError, match='of 6 x 2, 6 x 3 pixels.*set val_dataloader.batch_size=1'
    ):
        check(data, model=model, batch_size=2)
    with pytest.raises(ValueError, match='test_dataloader.batch_size=1'):
        check(data, model=model, batch_size=2, train=False)
    data.pipeline.transforms.insert(
        1, TRANSFORMS.build(dict(type='mmseg.Resize', scale=(6, 6)))
    )
    check(data, model=model, batch_size=2)


def test_evaluation_needs_the_fields_that_the_model_reads():
    class Model(nn.Module):
        required_fields = {'det_bboxes': 'det_file'}

    class Data(list):
        ann_file = 'refs.json'

        def get_data_info(self, index):
            return self[index]

    check(Data([dict(det_bboxes=[])]), train=False, model=Model())
    with pytest.raises(
        ValueError,
        match='of test_dataloader have no det_bboxes, which Model needs: set '
        'test_dataloader.dataset.det_file',
    ):
        check(Data([dict(text='a star')]), train=False, model=Model())
