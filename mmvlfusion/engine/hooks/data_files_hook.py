"""A check that annotations match the images."""

import io
from typing import Any

import mmengine.fileio as fileio
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset

from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.registry import HOOKS


@HOOKS.register_module()
class DataFilesHook(Hook):
    """Check some images of each data set before training or testing starts.

    The hook finds annotation files of other images, of other classes or of
    other image sizes, and label maps that are missing, have another size, or
    contain labels without a class. Data sets without files are not checked.

    Args:
        num_samples (int): Number of images to check, evenly spaced in the data
            set. Defaults to 32.

    Raises:
        FileNotFoundError: If an image or a label map is missing.
        ValueError: If a data set is empty, an image cannot be read, or
            annotations contradict the images.
    """

    # Runs before ClassCountHook.
    priority = 'ABOVE_NORMAL'

    def __init__(self, num_samples: int = 32) -> None:
        self.num_samples = num_samples

    def before_train(self, runner: Runner) -> None:
        """Check the training and the validation set.

        Args:
            runner (Runner): The runner.
        """
        self._check('train_dataloader', runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check('val_dataloader', runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test set.

        Args:
            runner (Runner): The runner.
        """
        self._check('test_dataloader', runner.test_dataloader.dataset)

    def _check(self, name: str, dataset: Dataset) -> None:
        """Check a data set, or each data set inside a wrapper."""
        for part in iter_datasets(dataset):
            source = getattr(part, 'ann_file', None) or part.data_prefix
            where = f'The data set of {name} ({source})'
            _check_classes(where, part)
            if not len(part):
                raise ValueError(
                    f'{where} has no images: check its data_root, '
                    'data_prefix, ann_file and filter_cfg.'
                )
            number = min(self.num_samples, len(part))
            for index in np.linspace(0, len(part) - 1, number, dtype=int):
                info = part.get_data_info(int(index))
                if 'img_path' in info:
                    size = _check_image(where, info, part)
                    if info.get('seg_map_path') is not None:
                        _check_label_map(where, info, size, part)


def _check_classes(where: str, dataset: Any) -> None:
    """Check that a COCO annotation file has all classes."""
    classes = dataset.metainfo.get('classes')
    found = getattr(dataset, 'cat_ids', None)
    if classes is None or found is None or len(found) == len(classes):
        return
    raise ValueError(
        f'{where} has only {len(found)} of the {len(classes)} classes '
        f'{", ".join(classes[:3])}, ...: set metainfo.classes to the names in '
        'the annotation file, or set ann_file to the file of these classes.'
    )


def _open(where: str, path: str, dataset: Any) -> Image.Image:
    """Open an image file; explain why it cannot be opened."""
    backend_args = getattr(dataset, 'backend_args', None)
    if not fileio.exists(path, backend_args):
        raise FileNotFoundError(
            f'{where} lists {path}, which is missing: check data_root and '
            'data_prefix of this data set, and that annotations and images are of '
            'the same split.'
        )
    try:
        return Image.open(io.BytesIO(fileio.get(path, backend_args)))
    except UnidentifiedImageError as error:
        raise ValueError(
            f'{where} lists {path}, which cannot be read as an '
            'image: repair or remove it.'
        ) from error


def _check_image(where: str, info: dict, dataset: Any) -> tuple:
    """Check the size (width, height) of an image against its annotation."""
    size = _open(where, info['img_path'], dataset).size
    width, height = info.get('width'), info.get('height')
    if width is None or height is None:
        return size
    # Width and height may be exchanged: the annotation may hold the size after
    # the rotation in the EXIF data.
    if sorted((width, height)) != sorted(size):
        raise ValueError(
            f'{where} says that {info["img_path"]} has {width} x '
            f'{height} pixels, but it has {size[0]} x {size[1]}: the '
            'annotations are of other images. Check ann_file and data_prefix.'
        )
    return size


def _check_label_map(where: str, info: dict, size: tuple, dataset: Any) -> None:
    """Check size and labels of a label map."""
    label_map = _open(where, info['seg_map_path'], dataset)
    if sorted(label_map.size) != sorted(size):
        raise ValueError(
            f'{where} pairs {info["img_path"]} of {size[0]} x {size[1]} '
            f'pixels with {info["seg_map_path"]} of {label_map.size[0]} x '
            f'{label_map.size[1]}: the label maps are of other images. '
            'Check data_prefix.'
        )
    classes = dataset.metainfo.get('classes')
    if getattr(dataset, 'label_map', None):
        # A subset of the classes is used, but the files have labels of all.
        classes = dataset.METAINFO['classes']
    labels = np.asarray(label_map)
    # The format of the labels is only known for mmseg's data sets.
    if classes is None or labels.ndim > 2 or not hasattr(dataset, 'reduce_zero_label'):
        return
    labels = np.unique(labels[labels != dataset.ignore_index])
    limit = len(classes)
    if dataset.reduce_zero_label:
        limit += 1
    if labels.size and labels.max() >= limit:
        raise ValueError(
            f'{where} has the label {labels.max()} in {info["seg_map_path"]}, '
            f'but the last label of its {len(classes)} classes is {limit - 1}: check '
            'metainfo.classes and reduce_zero_label.'
        )
