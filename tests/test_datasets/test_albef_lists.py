"""The json lists of ALBEF: questions, and statements about pairs of images."""

import json

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, init_default_scope

from mmvlfusion.datasets import NLVR2, ImageQuestionJson


def write(folder, entries, sizes=((8, 6), (8, 6))):
    for number, (width, height) in enumerate(sizes):
        image = np.full((height, width, 3), 40 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    (folder / 'list.json').write_text(json.dumps(entries))
    return dict(ann_file='list.json', data_root=str(folder), serialize_data=False)


def question(**fields):
    return dict(image='0.png', question='is it red?', question_id=1) | fields


def test_questions_have_the_weights_of_their_answers(tmp_path):
    entries = [
        question(answer=['yes'] * 7 + ['no'] * 3),
        question(question_id=2, answer='a star'),
        question(question_id=3),
    ]
    data = ImageQuestionJson(group=False, **write(tmp_path, entries))
    counted, single, test = (data.get_data_info(i) for i in range(3))
    assert counted['gt_answer'] == ['yes', 'no']
    assert counted['gt_answer_weight'] == [0.7, 0.3]
    assert counted['num_annotators'] == 10
    assert (single['gt_answer'], single['gt_answer_weight']) == (['a star'], [0.5])
    assert 'gt_answer' not in test and test['img_path'].endswith('0.png')


@pytest.mark.parametrize(
    'entry, words',
    [
        (question(answer=[]), r'has the answers \[\], expected at least one'),
        (question(answer=[1]), r'has the answers \[1\], expected at least one'),
        (question(answer=3), "field 'answer' .* is 3 of type int"),
        (dict(image='0.png', question_id=1), 'without question'),
        (question(image='7.png'), '7.png'),
    ],
)
def test_bad_questions_are_refused(tmp_path, entry, words):
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        ImageQuestionJson(**write(tmp_path, [entry]))


def pair(**fields):
    return dict(images=['0.png', '1.png'], sentence='both', label='True') | fields


def test_pairs_of_images_are_loaded_in_order(tmp_path):
    init_default_scope('mmpretrain')
    data = NLVR2(pipeline=[], **write(tmp_path, [pair(), pair(label='False')]))
    assert [data[i]['gt_answer'] for i in range(2)] == ['True', 'False']
    load = TRANSFORMS.build(
        dict(
            type='mmvlfusion.LoadImages',
            transforms=[
                dict(type='mmvlfusion.LoadImage'),
                dict(type='Resize', scale=(4, 4)),
            ],
        )
    )
    sample = load(dict(data[0]))
    assert sample['img'].shape == (2, 3, 4, 4)
    assert sample['img'][0].max() == 0 and sample['img'][1].min() == 40
    assert sample['img_shape'] == (4, 4) and sample['ori_shape'] == (6, 8)


def test_images_of_several_sizes_are_refused(tmp_path):
    data = NLVR2(pipeline=[], **write(tmp_path, [pair()], [(8, 6), (6, 6)]))
    load = TRANSFORMS.build(
        dict(
            type='mmvlfusion.LoadImages', transforms=[dict(type='mmvlfusion.LoadImage')]
        )
    )
    with pytest.raises(ValueError, match='expected one: add Resize'):
        load(dict(data[0]))


@pytest.mark.parametrize(
    'entry, words',
    [
        (pair(images=['0.png']), r"has the images \['0.png'\], expected the paths of"),
        (pair(label='yes'), "has the label 'yes', expected one of"),
        (pair(label=True), "field 'label' .* is True of type bool"),
        (pair(images=['0.png', '7.png']), '7.png'),
        (dict(images=[], label='True'), 'without sentence'),
    ],
)
def test_bad_pairs_are_refused(tmp_path, entry, words):
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        NLVR2(**write(tmp_path, [entry]))
