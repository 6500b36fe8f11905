"""Packing of an image and its questions into mmpretrain's data samples."""

from typing import Optional, Sequence

from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS
from mmvlfusion.utils.checks import require


@TRANSFORMS.register_module()
class PackQuestions(BaseTransform):
    """Pack an image with its question or questions.

    The result has the format of mmpretrain's ``PackInputs``. If the sample is
    an image with several questions, its data sample holds a list of data
    samples, one for each question, in the field ``questions``.

    Args:
        keys (Sequence[str]): Fields of a question.
        meta_keys (Sequence[str]): Fields of the image.
    """

    def __init__(
        self,
        keys: Sequence[str] = (
            'question',
            'question_id',
            'gt_answer',
            'gt_answer_weight',
            'num_annotators',
            'question_type',
            'answer_type',
        ),
        meta_keys: Sequence[str] = (
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ) -> None:
        super().__init__()
        self.keys = keys
        self.packer = require('mmpretrain.datasets').PackInputs(
            algorithm_keys=keys, meta_keys=meta_keys
        )

    def transform(self, results: dict) -> Optional[dict]:
        """Pack a sample.

        Args:
            results (dict): The sample. ``questions`` is removed from it.

        Returns:
            dict: ``inputs`` and ``data_samples``.
        """
        questions = results.pop('questions', None)
        packed = self.packer(results)
        if questions is not None:
            common = {key: value for key, value in results.items() if key != 'img'}
            packed['data_samples'].set_field(
                [
                    self.packer({**common, **question})['data_samples']
                    for question in questions
                ],
                'questions',
            )
        return packed
