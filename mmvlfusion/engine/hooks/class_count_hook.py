"""A check of the number of classes, before training or testing starts."""

from typing import Dict, Iterator, Tuple

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvlfusion.hosts import HEAD_NAMES
from mmvlfusion.models.utils import unwrap_model
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Check that heads, data sets and checkpoints have the same classes.

    A head with too few classes fails deep inside the loss. A head with too many
    classes trains without a warning. A head whose shapes differ from those of
    the checkpoint keeps its random weights. This hook raises an error in all
    three cases, and if a data preprocessor makes one-hot labels with another
    number of classes. Heads without ``num_classes`` and data sets without
    ``classes`` are not checked.

    Args:
        new_head (bool): Whether heads whose shapes differ from those of the
            checkpoint may start from random weights, as in fine-tuning on other
            classes. Defaults to False.

    Raises:
        ValueError: If the numbers differ, before the first iteration.
    """

    def __init__(self, new_head: bool = False) -> None:
        self.new_head = new_head

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set.

        Args:
            runner (Runner): The runner.
        """
        self._check(runner, 'train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, 'val_dataloader', runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the test set.

        Args:
            runner (Runner): The runner.
        """
        self._check(runner, 'test_dataloader', runner.test_dataloader)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the heads of a checkpoint before it is applied to the model.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        weights: Dict = checkpoint.get('state_dict', checkpoint)
        if self.new_head:
            return
        for name, head in _heads(runner):
            for key, own in head.state_dict().items():
                key = f'{name}.{key}'
                if key in weights and weights[key].shape != own.shape:
                    raise ValueError(
                        f'The checkpoint does not fit the head: {key} has the '
                        f'shape {tuple(weights[key].shape)}, expected '
                        f'{tuple(own.shape)}. This head has '
                        f'{head.num_classes} classes: set num_classes, or any '
                        'other setting that differs, such as widths and '
                        'img_size, to the value of the checkpoint. To train a '
                        'new head, set '
                        'default_hooks.class_count.new_head=True.'
                    )

    @staticmethod
    def _check(runner: Runner, name: str, loader: DataLoader) -> None:
        """Compare the classes of a data set with those of the model."""
        classes = getattr(loader.dataset, 'metainfo', {}).get('classes')
        if classes is None:
            return
        for head_name, head in _heads(runner):
            if head.num_classes != len(classes):
                raise ValueError(
                    f'The head has {head.num_classes} classes, but the data '
                    f'set of {name} has {len(classes)}: set '
                    f'model.{head_name}.num_classes={len(classes)} (and that of '
                    'the data preprocessor, if it has one), or set data_root to '
                    'the intended data.'
                )
        # mmpretrain's data preprocessor makes one-hot labels for Mixup and CutMix.
        preprocessor = getattr(unwrap_model(runner.model), 'data_preprocessor', None)
        if preprocessor is None or not getattr(preprocessor, 'to_onehot', False):
            return
        if preprocessor.num_classes != len(classes):
            raise ValueError(
                f'The data preprocessor has {preprocessor.num_classes} '
                f'classes, but the data set of {name} has {len(classes)}: set '
                f'data_preprocessor.num_classes={len(classes)}.'
            )


def _heads(runner: Runner) -> Iterator[Tuple[str, nn.Module]]:
    """Iterate over the names and modules of heads with a number of classes."""
    model = unwrap_model(runner.model)
    deployed = unwrap_model(model, deploy=True)
    prefix = next(name for name, module in model.named_modules() if module is deployed)
    prefix = f'{prefix}.' if prefix else ''
    for name, module in deployed.named_modules(prefix=prefix.rstrip('.')):
        # Heads of a cascade or a list have a number: bbox_head.0.
        head_name = name.removeprefix(prefix).rstrip('0123456789').rstrip('.')
        if head_name in HEAD_NAMES and getattr(module, 'num_classes', None):
            yield name, module
