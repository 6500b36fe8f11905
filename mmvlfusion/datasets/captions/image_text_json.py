"""Captioned images that are listed in json files."""

from typing import Any, Dict, List, Sequence, Union

import mmengine
import numpy as np
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.captions import check_captions
from mmvlfusion.datasets.utils.files import (
    ID,
    check_files,
    check_type,
    join_name,
    load_json,
    require_entries,
    require_fields,
)
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class ImageTextJson(BaseDataset):
    """Images with captions from one or several json lists.

    ALBEF and BLIP share such lists for COCO, Visual Genome, SBU and Conceptual
    Captions. The fields of an entry are:

    - ``image``: file below the folder of the images.
    - ``caption``: one text, or a list of texts, one of which is drawn at
      random each time.
    - ``image_id`` (optional): unique within its list.

    A sample has ``img_path``, ``gt_caption`` and ``image_id``, which is the
    path if the entry has no id.

    Args:
        ann_files (str | Sequence[str]): The json lists.
        data_prefix (str): Folder of the images. Defaults to ``''``.
        prefix (str): Words that are removed from the beginning of captions.
            Defaults to ``''``.
        check_files (bool): Whether to check that all images exist, by one
            listing of each folder. Defaults to True.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If a list is not json, an entry lacks a field or has a field
            of another type, or a caption has no words after the prefix.
    """

    def __init__(
        self,
        ann_files: Union[str, Sequence[str]],
        data_prefix: str = '',
        prefix: str = '',
        check_files: bool = True,
        **kwargs,
    ) -> None:
        self.ann_files = [ann_files] if isinstance(ann_files, str) else list(ann_files)
        self.prefix = prefix
        self.check_files = check_files
        super().__init__(data_prefix=dict(img_path=data_prefix), **kwargs)

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        folder = self.data_prefix['img_path']
        samples: List[Dict[str, Any]] = []
        for name in self.ann_files:
            path = mmengine.join_path(self.data_root, name)
            for number, entry in enumerate(load_json(path, list)):
                require_fields(entry, path, image=str)
                image = join_name(folder, entry['image'])
                where = f'Entry {number} of {path} ({entry["image"]})'
                image_id = image
                if 'image_id' in entry:
                    check_type(entry['image_id'], 'image_id', where, ID)
                    image_id = f'{name}:{entry["image_id"]}'
                captions = check_captions(entry.get('caption'), where, self.prefix)
                samples.append(
                    dict(img_path=image, image_id=image_id, gt_caption=captions)
                )
        require_entries(samples, ', '.join(self.ann_files))
        if self.check_files:
            check_files(
                [sample['img_path'] for sample in samples], ', '.join(self.ann_files)
            )
        return samples

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """Get an image with one of its captions, drawn at random.

        Args:
            idx (int): Index of the image.

        Returns:
            dict: The sample.
        """
        info = super().get_data_info(idx)
        captions = info['gt_caption']
        info['gt_caption'] = captions[np.random.randint(len(captions))]
        return info
