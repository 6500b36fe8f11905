"""Questions about videos."""

from typing import Any, Dict, List

from mmvlfusion.datasets.utils.files import ID, load_jsonl
from mmvlfusion.registry import DATASETS

from .base import QuestionDataset


@DATASETS.register_module()
class VideoQA(QuestionDataset):
    """Questions about videos, such as those of MSRVTT-QA and MSVD-QA.

    The annotation file has one json object per line, with ``question``,
    ``answer`` and ``video_id``. A sample's ``img_path`` is the video, which
    ``LoadVideoFrames`` loads.

    Args:
        ann_file (str): The annotation file.
        data_prefix (str): Folder of the videos. Defaults to ``''``.
        suffix (str): Suffix that follows ``video_id`` in a file name. Defaults
            to ``'.mp4'``.
        **kwargs: See ``QuestionDataset``.
    """

    def __init__(
        self, ann_file: str, data_prefix: str = '', suffix: str = '.mp4', **kwargs
    ) -> None:
        self.suffix = suffix
        super().__init__(ann_file, data_prefix, **kwargs)

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """See ``QuestionDataset.load_questions``.

        The id of a question is the position of its entry.
        """
        entries = load_jsonl(self.ann_file, question=str, answer=str, video_id=ID)
        return [
            dict(
                question=entry['question'],
                question_id=number,
                image=f'{entry["video_id"]}{self.suffix}',
                gt_answer=[entry['answer']],
                gt_answer_weight=[1.0],
                num_annotators=1,
            )
            for number, entry in enumerate(entries)
        ]
