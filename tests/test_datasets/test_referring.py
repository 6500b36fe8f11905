"""Referring expressions with boxes."""

import json
import pickle

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmvlfusion.datasets import RefCOCO


@pytest.fixture
def make(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').write_bytes(b'')
    instances = dict(
        images=[dict(id=5, file_name='a.jpg'), dict(id=6, file_name='b.jpg')],
        annotations=[
            dict(id=1, image_id=5, bbox=[2, 3, 10, 20]),
            dict(id=2, image_id=6, bbox=[0, 0, 1, 1]),
        ],
    )
    (tmp_path / 'instances.json').write_text(json.dumps(instances))

    def build(references=None, name='refs.json', split='train', **kwargs):
        content = references or [
            dict(
                ann_id=1,
                split='train',
                sentences=[dict(sent='the star'), dict(sent='left star')],
            ),
            dict(ann_id=2, split='val', sentences=[dict(sent='circle')]),
        ]
        if name.endswith('.json'):
            (tmp_path / name).write_text(json.dumps(content))
        else:
            (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
        return RefCOCO(
            'instances.json',
            name,
            'images',
            split=split,
            data_root=str(tmp_path),
            **kwargs,
        )

    build.root = tmp_path
    return build


@pytest.mark.parametrize('name', ['refs.json', 'refs(unc).p'])
def test_reads_expressions_and_boxes(make, name):
    data = make(name=name)
    assert [data[i]['text'] for i in range(len(data))] == ['the star', 'left star']
    assert data[1]['img_path'] == str(make.root / 'images/a.jpg')
    assert data[1]['gt_bboxes'].tolist() == [[2, 3, 12, 23]]


class Command:
    def __reduce__(self):
        return print, ('this must not run',)


def test_pickles_cannot_execute_code(make, capsys):
    with pytest.raises(ValueError, match='__builtin__.print'):
        make([Command()], 'refs.p')
    assert 'must not run' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'references, split, words',
    [
        (None, 'testA', r"no split 'testA', only \['train', 'val'\]"),
        (
            [dict(ann_id=9, split='train', sentences=[dict(sent='a')])],
            'train',
            'instance 9',
        ),
        (
            [dict(ann_id=1, split='train', sentences=[dict(sent=' ')])],
            'train',
            'instance 1 .*empty',
        ),
    ],
)
def test_rejects_bad_files(make, references, split, words):
    with pytest.raises(ValueError, match=words):
        make(references, split=split)


def test_rejects_missing_images(make):
    with pytest.raises(FileNotFoundError, match='1 of 1 files.*b.jpg'):
        make(split='val')


def test_synthetic_boxes_match_expressions(shapes_root):
    """Boxes lie on the objects that the expressions name."""
    init_default_scope('mmpretrain')
    data = RefCOCO(
        'annotations/instances_val.json',
        'annotations/refs_val.json',
        'images',
        split='val',
        data_root=str(shapes_root / 'grounding'),
        pipeline=[dict(type='mmvlfusion.LoadImage')],
    )
    assert len(data) > 50
    red = [data[i] for i in range(len(data)) if data[i]['text'].startswith('the red')]
    assert red
    for sample in red:
        left, top, right, bottom = sample['gt_bboxes'][0].astype(int)
        middle = sample['img'][top:bottom, left:right].reshape(-1, 3)
        blue, green, value = np.median(middle, axis=0)
        assert value > blue and value > green


@pytest.mark.parametrize(
    'content',
    [
        {'5': [[1, 2, 3, 4, 0.9], [0, 0, 8, 9, 0.2]]},
        [dict(image_id=5, bbox=box) for box in ([1, 2, 3, 4], [0, 0, 8, 9])],
        dict(
            annotations=[
                dict(image_id=5, bbox=box) for box in ([1, 2, 3, 4], [0, 0, 8, 9])
            ]
        ),
    ],
)
def test_reads_the_boxes_of_a_detector(make, content):
    (make.root / 'dets.json').write_text(json.dumps(content))
    data = make(det_file='dets.json')
    for number in range(2):
        assert data[number]['det_bboxes'].tolist() == [[1, 2, 4, 6], [0, 0, 8, 9]]


@pytest.mark.parametrize(
    'content, words',
    [
        (None, 'dets.json does not exist'),
        ({'6': [[1, 2, 3, 4]]}, 'no boxes for 1 of the 1 images .* e.g. image 5'),
        ({'5': []}, 'no boxes for 1 of the 1 images'),
        ({'5': [[1, 2, 3]]}, r'the box \[1, 2, 3\] of image 5, expected numbers x'),
        ({'5': [[1, 2, 3, None]]}, 'expected numbers x, y, width and height'),
        ({'5': 7}, 'the boxes of image 5 is 7 of type int, expected list'),
        ([dict(bbox=[1, 2, 3, 4])], 'without image_id'),
    ],
)
def test_bad_boxes_of_a_detector_are_refused(make, content, words):
    if content is not None:
        (make.root / 'dets.json').write_text(json.dumps(content))
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        make(det_file='dets.json')
