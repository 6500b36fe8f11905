"""A check that all images exist before training starts."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class ImageFilesHook(Hook):
    """Check that the image of each sample exists before training starts.

    All missing images are reported together. The hook is meant for data sets
    of the hosts, which do not check the files when they read their list.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set.

        Args:
            runner (Runner): The runner.
        """
        self._check(runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check(runner.val_dataloader.dataset)

    def _check(self, dataset: Dataset) -> None:
        """Check a data set, or each data set inside a wrapper."""
        for part in iter_datasets(dataset):
            infos = map(part.get_data_info, range(len(part)))
            # Samples of archives have no path.
            paths = [info['img_path'] for info in infos if 'img_path' in info]
            check_files(paths, part.ann_file)
