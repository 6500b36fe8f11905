"""The task of a sample."""

from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SetTask(BaseTransform):
    """Set the task of a data set's samples.

    Add ``'task'`` to the keys of the packing step, which comes later.

    Args:
        task (str): Name of the task. In pre-training it is the name of an
            objective.
    """

    def __init__(self, task: str) -> None:
        self.task = task

    def transform(self, results: dict) -> dict:
        """Set ``results['task']``.

        Args:
            results (dict): The sample.

        Returns:
            dict: The sample with its task.
        """
        results['task'] = self.task
        return results
