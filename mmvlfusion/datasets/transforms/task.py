"""The task that a sample is for."""

from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SetTask(BaseTransform):
    """Name the task of a data set's samples; the packing step takes ``task``
    among its keys.

    Args:
        task (str): The name, in pre-training that of an objective.
    """

    def __init__(self, task: str) -> None:
        self.task = task

    def transform(self, results: dict) -> dict:
        """Set ``results['task']``."""
        results['task'] = self.task
        return results
