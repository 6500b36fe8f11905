"""A check of the number of classes before training starts."""

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
    """Compare the classes of the heads with those of data and checkpoint.

    A head with too few outputs fails deep inside the loss, one with too many
    trains without a word, and one that a checkpoint does not fit keeps its
    random weights; this hook stops all three first, and a data preprocessor
    whose one-hot labels have another number of classes. Heads without
    ``num_classes`` and data sets without ``classes`` pass.

    Args:
        new_head (bool): Whether heads that a checkpoint does not fit may start
            from random weights, as in fine-tuning on other classes. Defaults
            to False.

    Raises:
        ValueError: If the numbers differ, before the first iteration.
    """

    def __init__(self, new_head: bool = False) -> None:
        self.new_head = new_head

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set."""
        self._check(runner, 'train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, 'val_dataloader', runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        self._check(runner, 'test_dataloader', runner.test_dataloader)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the heads of a checkpoint that is about to be loaded."""
        weights: Dict = checkpoint.get('state_dict', checkpoint)
        if self.new_head:
            return
        for name, head in _heads(runner):
            for key, own in head.state_dict().items():
                key = f'{name}.{key}'
                if key in weights and weights[key].shape != own.shape:
                    raise ValueError(
                        f'The checkpoint does not fit the head: {key} has the '
                        f'shape {tuple(weights[key].shape)}, and '
                        f'{tuple(own.shape)} is wanted here. This head has '
                        f'{head.num_classes} classes: set num_classes, or '
                        'whatever else differs, such as widths and img_size, '
                        'to that of the checkpoint, or train the head anew '
                        'with default_hooks.class_count.new_head=True.'
                    )

    @staticmethod
    def _check(runner: Runner, name: str, loader: DataLoader) -> None:
        classes = getattr(loader.dataset, 'metainfo', {}).get('classes')
        if classes is None:
            return
        for place, head in _heads(runner):
            if head.num_classes != len(classes):
                raise ValueError(
                    f'The head has {head.num_classes} classes, but the data '
                    f'set of {name} has {len(classes)}: set '
                    f'model.{place}.num_classes={len(classes)} (and that of '
                    'the data preprocessor, if it has one), or point '
                    'data_root at the right data.'
                )
        # mmpretrain's makes one-hot labels for Mixup and CutMix.
        preprocessor = getattr(unwrap_model(runner.model), 'data_preprocessor', None)
        if getattr(
            preprocessor, 'to_onehot', False
        ) and preprocessor.num_classes != len(classes):
            raise ValueError(
                f'The data preprocessor has {preprocessor.num_classes} '
                f'classes, but the data set of {name} has {len(classes)}: set '
                f'data_preprocessor.num_classes={len(classes)}.'
            )


def _heads(runner: Runner) -> Iterator[Tuple[str, nn.Module]]:
    """The heads of a model that have a number of classes, by name."""
    model = unwrap_model(runner.model)
    deployed = unwrap_model(model, deploy=True)
    prefix = next(name for name, module in model.named_modules() if module is deployed)
    prefix = f'{prefix}.' if prefix else ''
    for name, module in deployed.named_modules(prefix=prefix.rstrip('.')):
        # Heads of a cascade or list are numbered: bbox_head.0.
        place = name.removeprefix(prefix).rstrip('0123456789').rstrip('.')
        if place in HEAD_NAMES and getattr(module, 'num_classes', None):
            yield name, module
