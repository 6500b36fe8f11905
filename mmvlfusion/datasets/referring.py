"""Referring expressions for objects in COCO's images."""

import pickle
from typing import Any, Dict, List

import mmengine
import numpy as np
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.files import check_files
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
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If the split is empty, the instance of a reference does not
            exist, an expression is empty, or the pickle contains other types.
    """

    def __init__(
        self,
        ann_file: str,
        split_file: str,
        data_prefix: str,
        split: str = 'train',
        **kwargs,
    ) -> None:
        self.split_file = split_file
        self.split = split
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        content = mmengine.load(self.ann_file)
        instances = {entry['id']: entry for entry in content['annotations']}
        images = {entry['id']: entry for entry in content['images']}
        path = mmengine.join_path(self.data_root, self.split_file)
        if path.endswith('.json'):
            references = mmengine.load(path)
        else:
            references = _load_pickle(path)
        samples = []
        for reference in references:
            if reference['split'] != self.split:
                continue
            instance = instances.get(reference['ann_id'])
            if instance is None:
                raise ValueError(
                    f'{path} refers to the instance {reference["ann_id"]}, '
                    f'which is not in {self.ann_file}: use files of the same '
                    'version.'
                )
            samples += self._samples(reference, instance, images[instance['image_id']])
        if not samples:
            splits = sorted({reference['split'] for reference in references})
            raise ValueError(f'{path} has no split {self.split!r}, only {splits}.')
        check_files([sample['img_path'] for sample in samples], self.ann_file)
        return samples

    def _samples(
        self, reference: dict, instance: dict, image: dict
    ) -> List[Dict[str, Any]]:
        """Make one sample for each sentence of a reference."""
        x, y, width, height = instance['bbox']
        box = np.array([[x, y, x + width, y + height]], dtype=np.float32)
        folder = self.data_prefix['img_path']
        samples = []
        for sentence in reference['sentences']:
            if not sentence['sent'].strip():
                raise ValueError(
                    f'An expression for the instance {instance["id"]} in '
                    f'{self.split_file} is empty: fix or remove this entry.'
                )
            samples.append(
                dict(
                    img_path=mmengine.join_path(folder, image['file_name']),
                    image_id=image['id'],
                    width=image.get('width'),
                    height=image.get('height'),
                    ann_id=instance['id'],
                    text=sentence['sent'],
                    gt_bboxes=box,
                )
            )
        return samples


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses to import classes and functions."""

    def find_class(self, module: str, name: str) -> None:
        """Refuse an import; see ``pickle.Unpickler.find_class``."""
        raise pickle.UnpicklingError(f'the file imports {module}.{name}')


def _load_pickle(path: str) -> list:
    """Read a pickle of plain containers, numbers and strings."""
    with open(path, 'rb') as file:
        try:
            return _PlainUnpickler(file, encoding='latin1').load()
        # A broken pickle can raise almost any exception.
        except Exception as error:
            raise ValueError(
                f'{path} is not a pickle of plain lists and dictionaries: {error!r}.'
            ) from error
