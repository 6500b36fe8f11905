"""A check of the number of classes before training starts."""
from typing import Optional, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the classes of the head with those of the data sets.

    A classifier whose head has too few outputs fails deep inside the loss,
    and one with too many trains without a word; this hook stops both first.
    Heads without ``num_classes`` and data sets without ``classes`` pass.

    Raises:
        ValueError: If the numbers differ, before the first iteration.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set."""
        self._check(runner, 'train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, 'val_dataloader', runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        self._check(runner, 'test_dataloader', runner.test_dataloader)

    @staticmethod
    def _check(runner: Runner, name: str, loader: DataLoader) -> None:
        classes: Optional[Sequence[str]] = getattr(
            loader.dataset, 'metainfo', {}).get('classes')
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        wanted = getattr(getattr(model, 'head', None), 'num_classes', None)
        if classes is None or wanted is None or len(classes) == wanted:
            return
        raise ValueError(
            f'The head has {wanted} classes, but the data set of {name} has '
            f'{len(classes)}: set model.head.num_classes={len(classes)} (and '
            'data_preprocessor.num_classes), or point data_root at the right '
            'data.')
