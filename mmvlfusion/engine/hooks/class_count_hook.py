"""A check of the number of classes, before training or testing starts."""

import logging
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmvlfusion.datasets.utils.classes import (
    class_folders,
    class_names,
    folder_advice,
    listed,
    misplaced,
)
from mmvlfusion.datasets.utils.wrappers import iter_datasets
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

    The names are compared too: those of the validation set with those of the
    training set, and those of the test set with those in the checkpoint. It is
    an error if a name has different labels, or if class folders differ. Other
    names for the same labels are only logged, since they may be synonyms.

    Args:
        new_head (bool): Whether heads whose shapes differ from those of the
            checkpoint may start from random weights, as in fine-tuning on other
            classes. Defaults to False.

    Raises:
        ValueError: If numbers or names differ, before the first iteration.
    """

    def __init__(self, new_head: bool = False) -> None:
        self.new_head = new_head
        self._trained_names: Optional[Sequence[str]] = None

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set.

        Args:
            runner (Runner): The runner.
        """
        train = runner.train_dataloader.dataset
        self._trained_names = class_names(train)
        _check_folders('train_dataloader', train)
        if runner.val_loop is not None:
            val = runner.val_dataloader.dataset
            _check_folders('val_dataloader', val)
            _compare_folders(val, train)
            _compare_names(
                'val_dataloader', val, 'train_dataloader', self._trained_names
            )
        self._check_count(runner, 'train_dataloader', train)
        if runner.val_loop is not None:
            self._check_count(runner, 'val_dataloader', val)

    def before_test(self, runner: Runner) -> None:
        """Check the test set.

        Args:
            runner (Runner): The runner.
        """
        test = runner.test_dataloader.dataset
        _check_folders('test_dataloader', test)
        _compare_names('test_dataloader', test, 'the checkpoint', self._trained_names)
        self._check_count(runner, 'test_dataloader', test)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the heads of a checkpoint before it is applied to the model.

        The names of its classes are kept for the test.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        # Older checkpoints of the hosts have upper-case keys.
        self._trained_names = meta.get('classes', meta.get('CLASSES'))
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

    def _check_count(self, runner: Runner, name: str, dataset: Any) -> None:
        """Compare the classes of a data set with those of the model."""
        classes = class_names(dataset)
        if classes is None:
            return
        number = len(classes)
        for head_name, head in _heads(runner):
            if head.num_classes == number:
                continue
            advice = (
                f'set model.{head_name}.num_classes={number} (and that of '
                'the data preprocessor, if it has one), or set data_root to '
                'the intended data.'
            )
            if self._trained_names and len(self._trained_names) == head.num_classes:
                advice = (
                    'the head fits the training data: set metainfo.classes and '
                    f'data_root of {name} to data with the same classes.'
                )
            raise ValueError(
                f'The head has {head.num_classes} classes, but the data '
                f'set of {name} has {number}: {advice}'
                f'{_folder_advice(dataset)}'
            )
        # mmpretrain's data preprocessor makes one-hot labels for Mixup and CutMix.
        preprocessor = getattr(unwrap_model(runner.model), 'data_preprocessor', None)
        if preprocessor is None or not getattr(preprocessor, 'to_onehot', False):
            return
        if preprocessor.num_classes != number:
            raise ValueError(
                f'The data preprocessor has {preprocessor.num_classes} '
                f'classes, but the data set of {name} has {number}: set '
                f'data_preprocessor.num_classes={number}.'
            )


def _folder_advice(dataset: Any) -> str:
    """Name the doubtful class folders of all parts of a data set."""
    return ''.join(map(folder_advice, iter_datasets(dataset)))


def _check_folders(name: str, dataset: Any) -> None:
    """Check that named classes have the order of the class folders."""
    names = class_names(dataset) or ()
    for part in iter_datasets(dataset):
        folders = class_folders(part) or []
        index = misplaced(folders, names)
        if index is not None:
            raise ValueError(
                f'The data set of {name} has the class folders {listed(folders)} in '
                f'this order, and metainfo.classes has {listed(names)}: images of '
                f'{folders[index]!r} would be labelled {names[index]!r}, since labels '
                'follow the order of the folders. Remove metainfo.classes, or give '
                'the names in this order.'
            )


def _compare_folders(val: Any, train: Any) -> None:
    """Check that validation and training have the same class folders."""
    trained = next(filter(None, map(class_folders, iter_datasets(train))), None)
    for part in iter_datasets(val):
        folders = class_folders(part)
        # Without a common name, the names are of different kinds.
        if trained is None or folders is None or not set(trained) & set(folders):
            continue
        differences = [
            f'{description} {", ".join(names)}'
            for description, names in (
                ('lacks', [name for name in trained if name not in folders]),
                ('adds', [name for name in folders if name not in trained]),
            )
            if names
        ]
        if differences:
            raise ValueError(
                f'The class folders of val_dataloader ({part.img_prefix}) are not '
                f'those of train_dataloader: it {" and ".join(differences)}, and '
                'labels are numbered in the order of the folders. A class without '
                f'images needs an empty folder.{_folder_advice(train)}'
                f'{folder_advice(part)}'
            )


def _compare_names(
    name: str, dataset: Any, source: str, expected: Optional[Sequence[str]]
) -> None:
    """Check that names of classes have the same labels in two sources."""
    names = class_names(dataset)
    if names is None or expected is None or list(names) == list(expected):
        return
    index = misplaced(names, expected)
    if index is not None:
        raise ValueError(
            f'{names[index]!r} is class {index} in the data set of {name} '
            f'({listed(names)}), but class {list(expected).index(names[index])} in '
            f'{source} ({listed(expected)}): set metainfo.classes, or correct the '
            f'class folders, so that both have the same classes in the same order.'
            f'{_folder_advice(dataset)}'
        )
    if len(names) == len(expected):
        pairs = [f'{a} and {b}' for a, b in zip(names, expected) if a != b]
        print_log(
            f'The data set of {name} and {source} have different names for '
            f'{len(pairs)} classes: {listed(pairs)}. Check that they mean the same.',
            logger='current',
            level=logging.WARNING,
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
