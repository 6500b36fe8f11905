"""Captioned images of json lists."""

from typing import Any, Dict, List, Sequence, Union

import mmengine
import numpy as np
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.captions import check_captions
from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class ImageTextJson(BaseDataset):
    """Images with captions of one json list or several, such as those of COCO,
    Visual Genome, SBU and Conceptual Captions that ALBEF and BLIP share.

    An entry has ``image``, a file below the folder of the images, ``caption``,
    a text or several of which one is drawn each time, and perhaps
    ``image_id``, which counts within its list. A sample has ``img_path``,
    ``image_id`` (the path where there is none) and ``gt_caption``.

    Args:
        ann_files (str | Sequence[str]): The json lists.
        data_prefix (str): Folder of the images. Defaults to ``''``.
        prefix (str): Words with which captions may begin, which are removed.
            Defaults to ``''``.
        check_files (bool): Whether all images are looked for at the start, by
            one listing of each folder. Defaults to True.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If a caption is empty, or the prefix alone.
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
        """See the class."""
        folder = self.data_prefix['img_path']
        entries = []
        for name in self.ann_files:
            path = mmengine.join_path(self.data_root, name)
            for number, entry in enumerate(mmengine.load(path)):
                image = mmengine.join_path(folder, entry['image'])
                entries.append(
                    dict(
                        img_path=image,
                        image_id=f'{name}:{entry["image_id"]}'
                        if 'image_id' in entry
                        else image,
                        gt_caption=check_captions(
                            entry.get('caption'),
                            f'Entry {number} of {path} ({entry["image"]})',
                            self.prefix,
                        ),
                    )
                )
        if self.check_files:
            check_files(
                [entry['img_path'] for entry in entries], ', '.join(self.ann_files)
            )
        return entries

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """An image with one of its captions."""
        info = super().get_data_info(idx)
        captions = info['gt_caption']
        info['gt_caption'] = captions[np.random.randint(len(captions))]
        return info
