"""A check that annotations match the images."""

import logging
from typing import Any, Dict, List, Tuple

import mmengine
import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvlfusion.datasets.utils.classes import class_names, listed, misplaced
from mmvlfusion.datasets.utils.images import ImageSize, image_size, read_label_map
from mmvlfusion.datasets.utils.label_maps import LabelMaps
from mmvlfusion.datasets.utils.wrappers import iter_datasets
from mmvlfusion.models.utils import unwrap_model
from mmvlfusion.registry import HOOKS

# Most image sizes of which a batch is made.
MAX_SIZES = 8


@HOOKS.register_module()
class DataFilesHook(Hook):
    """Check some images of each data set before training or testing starts.

    The hook finds samples without a field that the model needs in evaluation
    (``required_fields`` of the model), annotation files of other images, of other
    classes or of other image sizes, classes in another order than in a COCO file,
    and label maps that are missing, have another size, contain labels without a
    class, or have one class only. It finds photographs that their EXIF data rotates and
    whose annotations are not rotated, and images of several sizes that do not
    fit into one batch of the validation. Data sets without files are not
    checked.

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
        self._check('train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            self._check_evaluation('val_dataloader', runner.val_dataloader, runner)

    def before_test(self, runner: Runner) -> None:
        """Check the test set.

        Args:
            runner (Runner): The runner.
        """
        self._check_evaluation('test_dataloader', runner.test_dataloader, runner)

    def _check_evaluation(self, name: str, loader: DataLoader, runner: Runner) -> None:
        """Check the data set of an evaluation, and that its images form batches."""
        _check_fields(name, loader, unwrap_model(runner.model))
        samples = self._check(name, loader)
        # The pipeline of test-time augmentation gives several images of a sample.
        if not any(isinstance(part, BaseTTAModel) for part in runner.model.modules()):
            _check_batch(name, loader, samples, unwrap_model(runner.model))

    def _check(self, name: str, loader: DataLoader) -> Dict[tuple, Tuple[Any, int]]:
        """Check a data set, or each data set inside a wrapper.

        Returns an image of each size, as data set and index.
        """
        samples: Dict[tuple, Tuple[Any, int]] = {}
        for part in iter_datasets(loader.dataset):
            source = getattr(part, 'ann_file', None) or part.data_prefix
            where = f'The data set of {name} ({source})'
            _check_classes(where, part)
            if not len(part):
                raise ValueError(
                    f'{where} has no images: check its data_root, '
                    'data_prefix, ann_file and filter_cfg.'
                )
            number = min(self.num_samples, len(part))
            indices = np.linspace(0, len(part) - 1, number, dtype=int).tolist()
            for size, index in _check_part(where, part, indices):
                samples.setdefault(size, (part, index))
        return samples


def _check_part(where: str, dataset: Any, indices: List[int]) -> List[tuple]:
    """Check some samples of a data set. Return sizes of images and indices."""

    def read(index: int) -> np.ndarray:
        path = dataset.get_data_info(index)['seg_map_path']
        return read_label_map(where, path, dataset)

    # The format of the labels is only known for mmseg's data sets.
    label_maps = None
    if hasattr(dataset, 'reduce_zero_label') and class_names(dataset) is not None:
        label_maps = LabelMaps(where, dataset, read)
    sizes, ambiguous = [], []
    for index in indices:
        info = dataset.get_data_info(index)
        if 'img_path' not in info:
            continue
        size = image_size(where, info['img_path'], dataset)
        sizes.append((size.loaded, index))
        if info.get('width') is not None and info.get('height') is not None:
            _check_annotated_size(where, info, size)
        if info.get('seg_map_path') is not None:
            labels = read(index)
            _check_map_size(where, info, size, labels)
            if label_maps is not None and labels.ndim == 2:
                label_maps.add(info['seg_map_path'], labels)
        if size.is_turned and _is_ambiguous(info, size):
            ambiguous.append(info['img_path'])
    warning = ''
    if label_maps is not None:
        label_maps.check_classes()
        warning = label_maps.zero_warning()
    if warning:
        print_log(warning, logger='current', level=logging.WARNING)
    if ambiguous:
        print_log(
            f'{where} has {len(ambiguous)} images among {len(indices)} that are '
            f'rotated or flipped when they are loaded, such as {ambiguous[0]}, '
            'because of the orientation in their EXIF data. Their sizes do not show '
            'whether the annotations are of the rotated images: look at them, and '
            "load with color_type='color_ignore_orientation' if they are not.",
            logger='current',
            level=logging.WARNING,
        )
    return sizes


def _is_ambiguous(info: dict, size: ImageSize) -> bool:
    """Check whether sizes do not show which orientation annotations have."""
    has_map = info.get('seg_map_path') is not None
    if not has_map and not {'instances', 'gt_bboxes'} & set(info):
        return False
    has_size = has_map or info.get('width') is not None
    return size.stored == size.loaded or not has_size


def _check_fields(name: str, loader: DataLoader, model: nn.Module) -> None:
    """Check that samples have the fields that the model reads in evaluation."""
    for part in iter_datasets(loader.dataset):
        for field, option in getattr(model, 'required_fields', {}).items():
            if len(part) and field not in part.get_data_info(0):
                raise ValueError(
                    f'The samples of {name} have no {field}, which '
                    f'{type(model).__name__} needs: set {name}.dataset.{option}.'
                )


def _check_classes(where: str, dataset: Any) -> None:
    """Check that a COCO annotation file has all classes in the same order."""
    classes = class_names(dataset)
    found = getattr(dataset, 'cat_ids', None)
    if classes is None or found is None:
        return
    if len(found) != len(classes):
        raise ValueError(
            f'{where} has only {len(found)} of the {len(classes)} classes '
            f'{", ".join(classes[:3])}, ...: set metainfo.classes to the names in '
            'the annotation file, or set ann_file to the file of these classes.'
        )
    if not str(dataset.ann_file).endswith('.json'):
        return
    backend_args = getattr(dataset, 'backend_args', None)
    content = mmengine.load(dataset.ann_file, backend_args=backend_args)
    names = {entry['id']: entry['name'] for entry in content['categories']}
    stored = [names[number] for number in found]
    index = misplaced(stored, classes)
    if index is not None:
        raise ValueError(
            f'{where} has the categories {listed(stored)} in this order, and '
            f'metainfo.classes has {listed(classes)}: objects of {stored[index]!r} '
            f'would be labelled {classes[index]!r}, since labels follow the order of '
            f'the file. Set metainfo.classes to {tuple(stored)} in all data sets.'
        )


def _check_annotated_size(where: str, info: dict, size: ImageSize) -> None:
    """Check the size of an image against that of its annotation."""
    annotated = (info['width'], info['height'])
    if annotated == size.loaded:
        return
    if annotated == size.stored:
        raise ValueError(_orientation_error(where, info, size, 'annotations'))
    cause = 'the annotations are of other images. Check ann_file and data_prefix'
    if annotated == size.loaded[::-1]:
        cause = (
            'width and height are exchanged, and annotations outside of the '
            'exchanged size would be lost. Correct them in the annotation file'
        )
    raise ValueError(
        f'{where} says that {info["img_path"]} has {annotated[0]} x '
        f'{annotated[1]} pixels, but it has {size.loaded[0]} x '
        f'{size.loaded[1]}: {cause}.'
    )


def _check_map_size(
    where: str, info: dict, size: ImageSize, labels: np.ndarray
) -> None:
    """Check the size of an image against that of its label map."""
    height, width = labels.shape[:2]
    if (width, height) == size.loaded:
        return
    if (width, height) == size.stored:
        raise ValueError(_orientation_error(where, info, size, 'label map'))
    raise ValueError(
        f'{where} pairs {info["img_path"]} of {size.loaded[0]} x {size.loaded[1]} '
        f'pixels with {info["seg_map_path"]} of {width} x '
        f'{height}: the label maps are of other images. '
        'Check data_prefix.'
    )


def _orientation_error(where: str, info: dict, size: ImageSize, what: str) -> str:
    """Describe an image that is rotated without its annotations."""
    return (
        f'{where} has {info["img_path"]}, which is stored with {size.stored[0]} x '
        f'{size.stored[1]} pixels and rotated to {size.loaded[0]} x '
        f'{size.loaded[1]} when it is loaded, because of the orientation in its '
        f'EXIF data. The size of its {what} is that of the stored pixels: load it '
        "with color_type='color_ignore_orientation', or rotate the stored pixels "
        'and their annotations.'
    )


def _check_batch(
    name: str,
    loader: DataLoader,
    samples: Dict[tuple, Tuple[Any, int]],
    model: nn.Module,
) -> None:
    """Check that images of several sizes form one batch.

    Hosts pad the images of a detector, but not those of a segmentation.
    """
    batch_size = getattr(loader.batch_sampler, 'batch_size', 1)
    preprocessor = getattr(model, 'data_preprocessor', None)
    if batch_size < 2 or len(samples) < 2 or preprocessor is None:
        return
    chosen = list(samples.items())[:MAX_SIZES]
    batch = [part[index] for _, (part, index) in chosen]
    try:
        preprocessor(loader.collate_fn(batch), False)
    except Exception as error:
        sizes = ', '.join(f'{width} x {height}' for (width, height), _ in chosen)
        raise ValueError(
            f'The images of {name}, of {sizes} pixels, do not fit into a batch '
            f'after the steps of its pipeline: set {name}.batch_size=1, or resize '
            f'them to one size (Resize with keep_ratio=False). ({error})'
        ) from error
