"""A check that all images are there."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class ImageFilesHook(Hook):
    """Look for the image of each sample before training starts, so that all
    that are missing are reported together; for data sets of the hosts that
    read their list without looking at the files.

    Raises:
        FileNotFoundError: If some are missing; all of them are counted, and the
            first are named.
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set."""
        self._check(runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check(runner.val_dataloader.dataset)

    def _check(self, dataset: Dataset) -> None:
        for part in iter_datasets(dataset):
            infos = map(part.get_data_info, range(len(part)))
            check_files([info['img_path'] for info in infos], part.ann_file)
