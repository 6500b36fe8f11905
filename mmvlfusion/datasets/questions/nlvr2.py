"""Statements about pairs of images, NLVR2."""

from typing import Any, Dict, List

from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.files import (
    check_files,
    join_name,
    load_json,
    require_entries,
    require_fields,
)
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class NLVR2(BaseDataset):
    """NLVR2 (arXiv 1811.00491) in the json lists that ALBEF's released code reads.

    An entry has ``images``, the paths of two images below ``data_prefix``,
    ``sentence``, and ``label``, ``'True'`` or ``'False'``. A sample has
    ``img_paths``, and the statement as ``question`` with ``gt_answer``.
    ``img_path`` is the first of them.

    Args:
        ann_file (str): The json file of a split.
        data_prefix (str): Folder of the images.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If an entry lacks a field, has a field of another type, has
            not two images or an unknown label.
    """

    LABELS = ('False', 'True')

    def __init__(self, ann_file: str, data_prefix: str = '', **kwargs) -> None:
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        entries = load_json(self.ann_file, list)
        require_entries(entries, self.ann_file)
        samples = [self._sample(number, entry) for number, entry in enumerate(entries)]
        paths = [path for sample in samples for path in sample['img_paths']]
        check_files(paths, self.ann_file)
        return samples

    def _sample(self, number: int, entry: Dict[str, Any]) -> Dict[str, Any]:
        """Make the sample of an entry."""
        require_fields(entry, self.ann_file, images=list, sentence=str, label=str)
        images, label = entry['images'], entry['label']
        if len(images) != 2 or not all(isinstance(image, str) for image in images):
            raise ValueError(
                f'Entry {number} of {self.ann_file} has the images {images}, expected '
                'the paths of two: fix or remove this entry.'
            )
        if label not in self.LABELS:
            raise ValueError(
                f'Entry {number} of {self.ann_file} has the label {label!r}, expected '
                f'one of {self.LABELS}.'
            )
        folder = self.data_prefix['img_path']
        paths = [join_name(folder, image) for image in images]
        return dict(
            img_path=paths[0],
            img_paths=paths,
            question=entry['sentence'],
            question_id=number,
            gt_answer=label,
        )
