"""Referring expressions for objects in COCO's images."""

import math
import os.path as osp
import pickle
from typing import Any, Dict, List, Optional

import mmengine
import numpy as np
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.files import (
    ID,
    check_files,
    check_type,
    join_name,
    load_json,
    require_fields,
)
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class RefCOCO(BaseDataset):
    """RefCOCO, RefCOCO+ and RefCOCOg, and json files with the same structure.

    The files are those that mmpretrain's class of the same name reads. Pickles
    are read by a restricted loader. It only makes lists, dicts, numbers and
    strings, and executes no code from the file.

    Args:
        ann_file (str): COCO's json file of the instances.
        split_file (str): The references, a list of dicts with ``ann_id``,
            ``split`` and ``sentences``; each sentence has ``sent``. The file
            is a ``.json``, or a pickle such as ``refs(unc).p``.
        data_prefix (str): Folder of the images.
        split (str): The split of the references. Defaults to ``'train'``.
        det_file (str, optional): A json file with the boxes of a detector, which
            become ``det_bboxes`` of the samples, (n, 4) as x1, y1, x2, y2 in
            pixels of the original image: a dict of lists of [x, y, width,
            height, ...] by the id of the image, such as the ``dets.json`` of
            ALBEF, or a list of COCO's results, or a file like ``ann_file``.
            Defaults to None, no boxes.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If the split is empty, the instance of a reference or its
            image does not exist, a field is missing or has another type, an
            expression is empty, the pickle contains other types, or an image
            has no boxes in ``det_file``.
    """

    def __init__(
        self,
        ann_file: str,
        split_file: str,
        data_prefix: str,
        split: str = 'train',
        det_file: Optional[str] = None,
        **kwargs,
    ) -> None:
        self.split_file = split_file
        self.split = split
        self.det_file = det_file
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        content = load_json(self.ann_file, dict)
        instances = self._by_id(content, 'annotations')
        images = self._by_id(content, 'images')
        path = mmengine.join_path(self.data_root, self.split_file)
        if path.endswith('.json'):
            references = load_json(path, list)
        else:
            references = _load_pickle(path)
            check_type(references, 'the content', path, list)
        samples = []
        for reference in references:
            require_fields(reference, path, ann_id=ID, split=str, sentences=list)
            if reference['split'] != self.split:
                continue
            instance = self._look_up(
                instances, reference['ann_id'], f'{path} refers to the instance'
            )
            require_fields(instance, self.ann_file, bbox=list, image_id=ID)
            image = self._look_up(
                images,
                instance['image_id'],
                f'The instance {instance["id"]} is in the image',
            )
            require_fields(image, self.ann_file, file_name=str)
            samples += self._samples(reference, instance, image)
        if not samples:
            splits = sorted({reference['split'] for reference in references})
            raise ValueError(
                f'{path} has no split {self.split!r}, only {splits}: set split to one '
                'of them.'
            )
        check_files([sample['img_path'] for sample in samples], self.ann_file)
        if self.det_file is not None:
            self._add_detections(samples)
        return samples

    def _add_detections(self, samples: List[Dict[str, Any]]) -> None:
        """Add the boxes of the detector to the samples of their image."""
        path = mmengine.join_path(self.data_root, self.det_file)
        boxes = load_detections(path)
        images = {str(sample['image_id']) for sample in samples}
        missing = sorted(images - set(boxes))
        if missing:
            raise ValueError(
                f'{path} has no boxes for {len(missing)} of the {len(images)} images '
                f'of the split {self.split!r}, e.g. image {missing[0]}: run the '
                'detector on all images of COCO that the references use.'
            )
        for sample in samples:
            sample['det_bboxes'] = boxes[str(sample['image_id'])]

    def _by_id(self, content: dict, field: str) -> Dict[Any, dict]:
        """Read a list of the instances' file by id."""
        require_fields(content, self.ann_file, **{field: list})
        for entry in content[field]:
            require_fields(entry, self.ann_file, id=ID)
        return {entry['id']: entry for entry in content[field]}

    def _look_up(self, table: Dict[Any, dict], number: Any, what: str) -> dict:
        """Get an instance or an image by its id."""
        if number not in table:
            raise ValueError(
                f'{what} {number!r}, which is not in {self.ann_file}: use files of '
                'the same version.'
            )
        return table[number]

    def _samples(
        self, reference: dict, instance: dict, image: dict
    ) -> List[Dict[str, Any]]:
        """Make one sample for each sentence of a reference."""
        bbox = instance['bbox']
        if len(bbox) != 4 or not all(map(_is_finite_number, bbox)):
            raise ValueError(
                f'The instance {instance["id"]} in {self.ann_file} has the box '
                f'{bbox}, expected four numbers, x, y, width and height: fix or '
                'remove this entry.'
            )
        x, y, width, height = bbox
        box = np.array([[x, y, x + width, y + height]], dtype=np.float32)
        folder = self.data_prefix['img_path']
        samples = []
        for sentence in reference['sentences']:
            require_fields(sentence, self.split_file, sent=str)
            if not sentence['sent'].strip():
                raise ValueError(
                    f'An expression for the instance {instance["id"]} in '
                    f'{self.split_file} is empty: fix or remove this entry.'
                )
            samples.append(
                dict(
                    img_path=join_name(folder, image['file_name']),
                    image_id=image['id'],
                    width=image.get('width'),
                    height=image.get('height'),
                    ann_id=instance['id'],
                    text=sentence['sent'],
                    gt_bboxes=box,
                )
            )
        return samples


def load_detections(path: str) -> Dict[str, np.ndarray]:
    """Read the boxes of a detector.

    Args:
        path (str): The json file; see ``RefCOCO``.

    Returns:
        dict[str, np.ndarray]: Boxes as x1, y1, x2, y2, (n, 4), by the id of the
        image.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it has another structure, or a box is not four finite
            numbers.
    """
    content = load_json(path, (dict, list))
    if isinstance(content, dict) and 'annotations' in content:
        content = content['annotations']
    boxes: Dict[str, list] = {}
    if isinstance(content, list):
        for entry in content:
            require_fields(entry, path, image_id=ID, bbox=list)
            boxes.setdefault(str(entry['image_id']), []).append(entry['bbox'])
    else:
        for image, found in content.items():
            check_type(found, f'the boxes of image {image}', path, list)
            boxes[image] = found
    corners = {}
    for image, found in boxes.items():
        for box in found:
            check_type(box, f'a box of image {image}', path, list)
            if len(box) < 4 or not all(map(_is_finite_number, box[:4])):
                raise ValueError(
                    f'{path} has the box {box} of image {image}, expected numbers x, '
                    'y, width and height first: fix or remove it.'
                )
        if found:
            array = np.array([box[:4] for box in found], dtype=np.float64)
            array[:, 2:] += array[:, :2]
            corners[image] = array
    return corners


def _is_finite_number(value: Any) -> bool:
    """Check whether a value is a number other than inf and nan."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses to import classes and functions."""

    def find_class(self, module: str, name: str) -> None:
        """Refuse an import; see ``pickle.Unpickler.find_class``."""
        raise pickle.UnpicklingError(f'the file imports {module}.{name}')


def _load_pickle(path: str) -> list:
    """Read a pickle of plain containers, numbers and strings."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'The file of the references {path} does not exist: correct data_root '
            'and split_file.'
        )
    with open(path, 'rb') as file:
        try:
            return _PlainUnpickler(file, encoding='latin1').load()
        # A broken pickle can raise almost any exception.
        except Exception as error:
            raise ValueError(
                f'{path} is not a pickle of plain lists and dictionaries '
                f'({error!r}): download it again, or convert it to json.'
            ) from error
