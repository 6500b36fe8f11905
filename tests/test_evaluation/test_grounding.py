"""The accuracy of boxes."""

import pytest
import torch

from mmvlfusion.evaluation import BoxAccuracy
from mmvlfusion.evaluation.grounding import pixel_iou


@pytest.mark.parametrize(
    'second, expected',
    [
        ([0, 0, 10, 10], 1.0),
        ([0, 0, 10, 5], 0.5),
        ([5, 5, 15, 15], 25 / 175),
        ([10, 10, 20, 20], 0.0),
        ([0, 0, 0, 0], 0.0),
    ],
)
def test_iou_counts_whole_pixels(second, expected):
    assert pixel_iou([0, 0, 10, 10], second) == pytest.approx(expected)


def test_accuracy_is_the_share_of_boxes_above_the_threshold():
    metric = BoxAccuracy()
    true = torch.tensor([[0, 0, 10, 10]])
    for box in ([0, 0, 10, 5], [0, 0, 10, 4], [0, 0, 0, 0], [0, 0, 10, 10]):
        sample = dict(pred_bboxes=torch.tensor([box]), gt_bboxes=true)
        metric.process(None, [sample])
    assert metric.evaluate(4) == {'visual-grounding/acc': 50.0}
