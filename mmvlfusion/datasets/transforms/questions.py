"""From an image and its questions to mmpretrain's data samples."""

from typing import Optional, Sequence

from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS
from mmvlfusion.utils.checks import require


@TRANSFORMS.register_module()
class PackQuestions(BaseTransform):
    """Pack an image with its question or questions.

    The result is what mmpretrain's ``PackInputs`` makes; where the sample is an
    image with several questions, its data sample holds them as a list of data
    samples in ``questions``.

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
        """See the class."""
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
