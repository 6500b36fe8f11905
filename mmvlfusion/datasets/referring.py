"""Expressions that refer to objects of COCO's images."""

import pickle
from typing import Any, Dict, List

import mmengine
import numpy as np
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class RefCOCO(BaseDataset):
    """RefCOCO, RefCOCO+ and RefCOCOg, as mmpretrain's class of this name reads
    them, and sets of their structure in json.

    Pickles are read by a loader that makes plain containers, numbers and
    strings alone, and runs nothing.

    Args:
        ann_file (str): COCO's json file of the instances.
        split_file (str): The references, a list with ``ann_id``, ``split`` and
            ``sentences``, each of which has ``sent``; ``.json``, or a pickle as
            ``refs(unc).p``.
        data_prefix (str): Folder of the images.
        split (str): The split of the references. Defaults to ``'train'``.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If the split is empty, a reference is to no instance, an
            expression is empty, or the pickle holds anything else.
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
        """See the class."""
        instances = mmengine.load(self.ann_file)
        objects = {entry['id']: entry for entry in instances['annotations']}
        images = {entry['id']: entry for entry in instances['images']}
        path = mmengine.join_path(self.data_root, self.split_file)
        references = (
            mmengine.load(path) if path.endswith('.json') else _load_pickle(path)
        )
        samples = []
        for reference in references:
            if reference['split'] == self.split:
                found = objects.get(reference['ann_id'])
                if found is None:
                    raise ValueError(
                        f'{path} refers to the instance {reference["ann_id"]}, '
                        f'which is not in {self.ann_file}: take the files of '
                        'one version.'
                    )
                samples += self._samples(reference, found, images[found['image_id']])
        if not samples:
            splits = sorted({reference['split'] for reference in references})
            raise ValueError(f'{path} has no split {self.split!r}, only {splits}.')
        check_files([sample['img_path'] for sample in samples], self.ann_file)
        return samples

    def _samples(
        self, reference: dict, found: dict, image: dict
    ) -> List[Dict[str, Any]]:
        x, y, width, height = found['bbox']
        box = np.array([[x, y, x + width, y + height]], dtype=np.float32)
        folder = self.data_prefix['img_path']
        samples = []
        for sentence in reference['sentences']:
            if not sentence['sent'].strip():
                raise ValueError(
                    f'An expression for the instance {found["id"]} in '
                    f'{self.split_file} is empty: leave it out.'
                )
            samples.append(
                dict(
                    img_path=mmengine.join_path(folder, image['file_name']),
                    image_id=image['id'],
                    ann_id=found['id'],
                    text=sentence['sent'],
                    gt_bboxes=box,
                )
            )
        return samples


class _PlainUnpickler(pickle.Unpickler):
    """Refuse everything that would import a class or a function."""

    def find_class(self, module: str, name: str) -> None:
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def _load_pickle(path: str) -> list:
    with open(path, 'rb') as file:
        try:
            return _PlainUnpickler(file, encoding='latin1').load()
        except Exception as error:  # A broken one raises nearly any.
            raise ValueError(
                f'{path} is no pickle of plain lists and dictionaries: {error!r}.'
            ) from error
