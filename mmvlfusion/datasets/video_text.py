"""Videos with a caption each, for retrieval."""

from typing import Any, Dict, List

import mmengine
from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.files import check_files, load_jsonl
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class VideoTextRetrieval(BaseDataset):
    """Videos and the caption that belongs to each, such as the thousand of
    MSR-VTT's test, with a json object in each line: ``clip_name`` and
    ``caption``.

    A sample is what mmpretrain's retrieval data sets have in tests; its
    ``img_path`` is the video, which ``LoadVideoFrames`` loads.

    Args:
        ann_file (str): File of the annotations.
        data_prefix (str): Folder of the videos. Defaults to ``''``.
        suffix (str): What follows ``clip_name`` in a file's name. Defaults to
            ``'.mp4'``.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If videos have no file; all of them are counted, and
            the first are named.
        ValueError: If an entry lacks a field.
    """

    def __init__(
        self, ann_file: str, data_prefix: str = '', suffix: str = '.mp4', **kwargs
    ) -> None:
        self.suffix = suffix
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See the class."""
        entries = load_jsonl(self.ann_file, 'clip_name', 'caption')
        # mmpretrain's loops ask for them.
        self.img_size = self.text_size = len(entries)
        samples = [
            dict(
                img_path=mmengine.join_path(
                    self.data_prefix['img_path'], entry['clip_name'] + self.suffix
                ),
                image_id=number,
                text=[entry['caption']],
                gt_text_id=[number],
                gt_image_id=[number],
            )
            for number, entry in enumerate(entries)
        ]
        check_files([sample['img_path'] for sample in samples], self.ann_file)
        return samples
