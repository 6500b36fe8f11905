"""Visual question answering."""

from typing import Optional

import torch

from mmvlfusion.registry import MODELS

from .base import VisionLanguageTask
from .fusion import FusionOutput


@MODELS.register_module()
class VisualQuestionAnswering(VisionLanguageTask):
    """A backbone, a text encoder, a fusion, and a head that answers questions.

    An image is encoded once for all of its questions. A sample has its
    ``question`` and, in training, ``gt_answer``. Predictions are
    ``pred_answer`` and ``pred_score``.

    Args:
        share_embeddings (bool): Whether a generation head shares its input and
            output embeddings with the text encoder, as in T5. Defaults to
            False.
        **kwargs: See ``VisionLanguageTask``.

    Raises:
        ValueError: If the head has no embeddings to share.
    """

    def __init__(self, share_embeddings: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if share_embeddings:
            if not hasattr(self.head, 'share_embeddings'):
                raise ValueError(
                    f'The head {type(self.head).__name__} has no word '
                    'embeddings to share: set share_embeddings=False.'
                )
            self.head.share_embeddings(self.text_encoder.encoder.get_input_embeddings())

    def extract_feat(
        self,
        images: torch.Tensor,
        data_samples: list,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """See ``VisionLanguageTask.extract_feat``.

        Raises:
            ValueError: If a question is empty.
        """
        questions = [sample.question for sample in data_samples]
        for sample, question in zip(data_samples, questions):
            if not question.strip():
                raise ValueError(
                    f'Question {sample.get("question_id", "")} on the image '
                    f'{sample.get("img_path", "")} is empty: remove it from the '
                    'data.'
                )
        return self.fuse_inputs(images, questions, image_index, image_mask)
