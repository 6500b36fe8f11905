"""Visual question answering."""

from typing import Any, Optional

import torch

from mmvlfusion.registry import MODELS

from .base import VisionLanguageTask
from .ema import EMAModel
from .fusion import FusionOutput
from .fusion.bert_layers import Weights, layers_of, to_bert


@MODELS.register_module()
class VisualQuestionAnswering(VisionLanguageTask):
    """A backbone, a text encoder, a fusion, and a head that answers questions.

    An image is encoded once for all of its questions. A sample has its
    ``question`` and, in training, ``gt_answer``. Predictions are
    ``pred_answer`` and ``pred_score``.

    If ``alpha`` of the head is above 0, the predictions of an EMA model of the
    entire model soften the targets (ALBEF, arXiv 2107.07651, Section 3.3).

    Args:
        share_embeddings (bool): Whether a generation head shares its input and
            output embeddings with the text encoder, as in T5. Defaults to
            False.
        decoder_from_fusion (bool): Whether a checkpoint without a decoder
            initialises the decoder, a BERT, with the layers of its
            ``AlbefFusion``, the embeddings of its text encoder, and the head of
            its objective ``masked_language`` (ALBEF, Section 5). Defaults to
            False.
        momentum (float): Weight of the previous average in an update of the EMA
            model, if there is one. Defaults to 0.995.
        **kwargs: See ``VisionLanguageTask``.

    Raises:
        ValueError: If the head has no embeddings to share, or no decoder to
            initialise.
    """

    has_soft_targets = True

    def __init__(
        self,
        share_embeddings: bool = False,
        decoder_from_fusion: bool = False,
        momentum: float = 0.995,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if share_embeddings:
            if not hasattr(self.head, 'share_embeddings'):
                raise ValueError(
                    f'The head {type(self.head).__name__} has no word '
                    'embeddings to share: set share_embeddings=False.'
                )
            self.head.share_embeddings(self.text_encoder.encoder.get_input_embeddings())
        if decoder_from_fusion and not hasattr(self.head, 'decoder'):
            raise ValueError(
                f'The head {type(self.head).__name__} has no decoder: set '
                'decoder_from_fusion=False.'
            )
        self.decoder_from_fusion = decoder_from_fusion
        if getattr(self.head, 'alpha', 0) > 0:
            self.ema_model = EMAModel(self, 1 - momentum)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Initialise the decoder from a checkpoint that has none."""
        if self.decoder_from_fusion:
            for part in (prefix, f'{prefix}ema_model.module.'):
                state_dict.update(decoder_weights(state_dict, part))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Any:
        """See ``VisionLanguageTask.forward``."""
        if mode != 'loss' or self.ema_model is None:
            return super().forward(images, data_samples, image_index, image_mask, mode)
        samples = data_samples or []
        batch = (images, samples, image_index, image_mask)
        with torch.no_grad():
            self.ema_model.update_parameters(self)
            ema = self.ema_model.module
            ema_fused = ema.extract_feat(*batch)
        fused = self.extract_feat(*batch)
        return self.head.loss(fused, samples, (ema.head, ema_fused))

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


def decoder_weights(weights: Weights, prefix: str = '') -> Weights:
    """Make the weights of a decoder from those of a pre-trained model.

    Args:
        weights (dict[str, torch.Tensor]): The weights, with those of an
            ``AlbefFusion``, dense or low-rank.
        prefix (str): Prefix of the model. Defaults to ``''``.

    Returns:
        dict[str, torch.Tensor]: The weights of the decoder, a BERT with one layer
        for each layer of the fusion; none if there is a decoder already.
    """
    decoder = f'{prefix}head.decoder.'
    if any(name.startswith(decoder) for name in weights):
        return {}
    made = {}
    layers = layers_of(weights, f'{prefix}fusion.layers.')
    for number, layer in layers.items():
        for name, value in to_bert(layer).items():
            made[f'{decoder}bert.encoder.layer.{number}.{name}'] = value
    sources = {
        f'{prefix}text_encoder.encoder.embeddings.': f'{decoder}bert.embeddings.',
        f'{prefix}objectives.masked_language.head.': f'{decoder}cls.predictions.',
    }
    for source, target in sources.items():
        for name, value in weights.items():
            if name.startswith(source):
                made[target + name.removeprefix(source)] = value
    return made
