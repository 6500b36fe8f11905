"""The sheet of predictions: wrong ones are marked and the score is in the headline."""

from argparse import Namespace
from types import SimpleNamespace

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from ..helpers import load_tool

sheet = load_tool('visualizations/contact_sheet.py')


def dataset_of(entries, **metainfo):
    """Make a data set of given entries."""
    dataset = BaseDataset(lazy_init=True, serialize_data=False)
    dataset.data_list = entries
    dataset._metainfo = metainfo
    dataset._fully_initialized = True
    return dataset


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((32, 32, 3), np.uint8))
    return str(path)


def boxes(*rows):
    """Boxes with label and score."""
    values = torch.tensor(rows).reshape(-1, 6)
    return dict(bboxes=values[:, :4], labels=values[:, 4].long(), scores=values[:, 5])


@pytest.mark.parametrize(
    'predicted, expected',
    [
        (boxes(), (0, 0)),
        (boxes([0, 0, 10, 10, 1, 0.9]), (1, 0)),
        # Another class, a low score, too far away, and a second box of an object.
        (boxes([0, 0, 10, 10, 0, 0.9]), (0, 1)),
        (boxes([0, 0, 10, 10, 1, 0.4]), (0, 0)),
        (boxes([9, 9, 20, 20, 1, 0.9]), (0, 1)),
        (boxes([0, 0, 10, 10, 1, 0.9], [0, 0, 10, 9, 1, 0.8]), (1, 1)),
        # Each box has its object.
        (boxes([0, 0, 10, 10, 1, 0.9], [20, 20, 30, 30, 0, 0.8]), (2, 0)),
    ],
)
def test_boxes_are_matched_to_objects(predicted, expected):
    truth = [
        dict(bbox=[0, 0, 10, 10], bbox_label=1),
        dict(bbox=[20, 20, 30, 30], bbox_label=0),
    ]
    assert sheet.count_matches(predicted, truth, 0.5) == expected


def test_sheet_of_boxes_marks_wrong_images(image, tmp_path):
    truth = [dict(bbox=[2, 2, 12, 12], bbox_label=0)]
    dataset = dataset_of(
        [dict(img_path=image, instances=truth)] * 3,
        classes=('a', 'b'),
        palette='random',
    )
    results = [boxes([2, 2, 12, 12, label, 0.9]) for label in (0, 1)] + [boxes()]
    path = str(tmp_path / 'predictions.pkl')
    mmengine.dump([dict(pred_instances=result) for result in results], path)
    cfg = Config(
        dict(default_scope='mmdet', visualizer=dict(type='mmdet.DetLocalVisualizer'))
    )
    args = Namespace(predictions=path, rows=1, columns=2, score_thr=0.5)
    cells, headline = sheet.cells_of_detection(cfg, dataset, args)
    assert [cell.color for cell in cells] == ['green', 'red']
    assert cells[1].title == '0 of 1 found, 1 wrong'
    # The headline counts all images, also those that are not drawn.
    assert headline.startswith('33.3 % of 3 objects found, 1 wrong boxes')


def test_sheet_of_label_maps_marks_wrong_pixels(image, tmp_path):
    truth = np.zeros((32, 32), np.uint8)
    truth[:, 16:] = 1
    truth[0] = 255  # Ignored.
    predicted = np.zeros((32, 32), np.uint8)
    predicted[:, 24:] = 1
    (tmp_path / 'out').mkdir()
    cv2.imwrite(str(tmp_path / 'truth.png'), truth)
    cv2.imwrite(str(tmp_path / 'out/image.png'), predicted)
    entry = dict(
        img_path=image,
        seg_map_path=str(tmp_path / 'truth.png'),
        reduce_zero_label=False,
    )
    palette = [[255, 0, 0], [0, 255, 0]]
    dataset = dataset_of([entry], classes=('a', 'b'), palette=palette)
    cfg = Config(
        dict(default_scope='mmseg', visualizer=dict(type='mmseg.SegLocalVisualizer'))
    )
    args = Namespace(predictions=str(tmp_path / 'out'), rows=1, columns=1)
    (cell,), headline = sheet.cells_of_segmentation(cfg, dataset, args)
    assert (cell.title, cell.color) == ('75.0 % of the pixels right', 'red')
    # (16 / 24 + 8 / 16) / 2 of the columns.
    assert headline.startswith('mean IoU 58.3 % on 1 images')
    width = cell.image.shape[1] // 3
    wrong = (cell.image[:, 2 * width :] == sheet.RED).all(axis=2)
    assert wrong.mean() == pytest.approx(31 * 8 / 32**2)


def test_sheet_of_captions_shows_the_truth_of_wrong_ones(image, tmp_path):
    dataset = dataset_of([dict(img_path=image)] * 2)
    path = str(tmp_path / 'predictions.pkl')
    results = [
        dict(pred_caption=caption, pred_score=0.5, gt_caption=['A red star', 'a star'])
        for caption in ('a star', 'a square')
    ]
    mmengine.dump(results, path)
    args = Namespace(predictions=path, rows=1, columns=2)
    cells, headline = sheet.cells_of_captions(SimpleNamespace(), dataset, args)
    assert [(cell.title, cell.color) for cell in cells] == [
        ('a star (0.5)', 'green'),
        ('a square (0.5)\nis A red star', 'red'),
    ]
    assert headline.startswith('50.0 % of 2 captions')
