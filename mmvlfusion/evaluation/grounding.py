"""Accuracy of predicted boxes in pixels."""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.evaluator import BaseMetric

from mmvlfusion.registry import METRICS

Box = Sequence[float]


def pixel_iou(first: Box, second: Box) -> float:
    """Compute the intersection over union as REFER's evaluation does.

    The last pixel of a box belongs to it, so an intersection of n pixels in a
    row has the width n.

    Args:
        first (Sequence[float]): A box as x1, y1, x2, y2 in pixels.
        second (Sequence[float]): Another one.

    Returns:
        float: The intersection over union; 0 if both boxes are empty.
    """
    left, top = (max(first[i], second[i]) for i in (0, 1))
    right, bottom = (min(first[i], second[i]) - 1 for i in (2, 3))
    common = 0.0
    if left < right and top < bottom:
        common = (right - left + 1) * (bottom - top + 1)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second)]
    union = sum(areas) - common
    return float(common / union) if union > 0 else 0.0


@METRICS.register_module()
class BoxAccuracy(BaseMetric):
    """The share of boxes with an IoU of at least a threshold, in percent.

    ``pixel_iou`` computes the IoU, as in ALBEF's evaluation on RefCOCO+.

    Args:
        threshold (float): The least IoU of a correct box. Defaults to 0.5.
        collect_device (str): See ``mmengine.evaluator.BaseMetric``. Defaults to
            ``'cpu'``.
        prefix (str, optional): Prefix of the name of the score. Defaults to
            None, ``'visual-grounding'``.
    """

    default_prefix = 'visual-grounding'

    def __init__(
        self,
        threshold: float = 0.5,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.threshold = threshold

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the boxes of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): The samples with ``pred_bboxes`` and
                ``gt_bboxes``, (1, 4) each, in pixels of the same image.
        """
        for sample in data_samples:
            (predicted,), (true,) = (
                sample[name].tolist() for name in ('pred_bboxes', 'gt_bboxes')
            )
            self.results.append(pixel_iou(predicted, true) >= self.threshold)

    def compute_metrics(self, results: List[bool]) -> Dict[str, float]:
        """Compute the share of correct boxes.

        Args:
            results (list[bool]): Whether each box is correct.

        Returns:
            dict[str, float]: ``acc`` in percent.
        """
        return dict(acc=100 * sum(results) / len(results))
