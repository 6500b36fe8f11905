"""Videos with one caption each, for retrieval."""

from typing import Any, Dict, List

from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.captions import check_captions
from mmvlfusion.datasets.utils.files import (
    check_files,
    join_name,
    load_jsonl,
    require_entries,
)
from mmvlfusion.registry import DATASETS


@DATASETS.register_module()
class VideoTextRetrieval(BaseDataset):
    """Videos with one caption each, such as the 1000 test videos of MSR-VTT.

    The annotation file has one json object per line, with ``clip_name`` and
    ``caption``. A sample has the fields of mmpretrain's retrieval data sets in
    test mode. Its ``img_path`` is the video, which ``LoadVideoFrames`` loads.

    Args:
        ann_file (str): The annotation file.
        data_prefix (str): Folder of the videos. Defaults to ``''``.
        suffix (str): Suffix that follows ``clip_name`` in a file name. Defaults
            to ``'.mp4'``.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If videos are missing, with their number and the
            first of their paths.
        ValueError: If an entry lacks a field or has a field of another type, or
            a caption has no words.
    """

    def __init__(
        self, ann_file: str, data_prefix: str = '', suffix: str = '.mp4', **kwargs
    ) -> None:
        self.suffix = suffix
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        entries = load_jsonl(self.ann_file, clip_name=str, caption=str)
        require_entries(entries, self.ann_file)
        # mmpretrain's retrieval loops read these two attributes.
        self.img_size = len(entries)
        self.text_size = len(entries)
        samples: List[Dict[str, Any]] = [
            dict(
                img_path=join_name(
                    self.data_prefix['img_path'], entry['clip_name'] + self.suffix
                ),
                image_id=number,
                text=check_captions(
                    entry['caption'],
                    f'{entry["clip_name"]} in {self.ann_file}',
                    prefix='',
                ),
                gt_text_id=[number],
                gt_image_id=[number],
            )
            for number, entry in enumerate(entries)
        ]
        check_files([sample['img_path'] for sample in samples], self.ann_file)
        return samples
