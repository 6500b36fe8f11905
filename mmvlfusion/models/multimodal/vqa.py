"""Answers to questions about images."""
from typing import Any, Dict, Optional, Union

import torch

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.choices import check_choice

from .base import VisionLanguageModel
from .fusion import FusionOutput


@MODELS.register_module()
class VisualQuestionAnswering(VisionLanguageModel):
    """A backbone, a text encoder, a fusion of the two, and an answering head.

    An image is encoded once for all of its questions.

    Args:
        head (dict): Config of the head.
        share_embeddings (bool): Whether a generating head reads and writes
            words by the embeddings of the text encoder, as T5 does. Defaults to
            False.
        **kwargs: See ``VisionLanguageModel``.
    """

    def __init__(self,
                 head: dict,
                 share_embeddings: bool = False,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.head = MODELS.build(
            head, default_args=dict(tokenizer=self.tokenizer))
        if share_embeddings:
            self.head.share_embeddings(
                self.text_encoder.encoder.get_input_embeddings())

    def forward(self,
                images: torch.Tensor,
                data_samples: Optional[list] = None,
                image_index: Optional[torch.Tensor] = None,
                image_mask: Optional[torch.Tensor] = None,
                mode: str = 'tensor') -> Union[Dict[str, Any], list,
                                               FusionOutput]:
        """Train, answer, or fuse.

        Args:
            images (torch.Tensor): Shape (B, C, H, W).
            data_samples (list[DataSample]): One a question, with its
                ``question`` and, in training, ``gt_answer``.
            image_index (torch.Tensor, optional): The image of each question,
                (Q). Defaults to one question an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict | list[DataSample] | FusionOutput: The losses; the samples with
            ``pred_answer`` and ``pred_score``; or the fused tokens.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        fused = self.extract_feat(images, data_samples, image_index,
                                  image_mask)
        if mode == 'tensor':
            return fused
        return getattr(self.head, mode)(fused, data_samples)

    def extract_feat(self,
                     images: torch.Tensor,
                     data_samples: list,
                     image_index: Optional[torch.Tensor] = None,
                     image_mask: Optional[torch.Tensor] = None
                     ) -> FusionOutput:
        """The fused tokens of each question, see ``forward``.

        Raises:
            ValueError: If a question is empty.
        """
        questions = [sample.question for sample in data_samples]
        for sample, question in zip(data_samples, questions):
            if not question.strip():
                raise ValueError(
                    f'Question {sample.get("question_id", "")} on the image '
                    f'{sample.get("img_path", "")} is empty: leave it out.')
        return self.read(images, questions, image_index, image_mask)
