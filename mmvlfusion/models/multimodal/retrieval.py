"""Retrieval of images by texts, and of texts by images."""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, require

from .fusion import mask_or_ones
from .objectives import MatchingObjective
from .pretraining import VisionLanguagePretraining

Features = Dict[str, torch.Tensor]


@MODELS.register_module()
class ImageTextRetrieval(VisionLanguagePretraining):
    """Pre-training's contrastive objective finds candidates, its matching
    orders them.

    For validation and tests use mmpretrain's ``RetrievalValLoop`` and
    ``RetrievalTestLoop`` with its data sets and ``RetrievalRecall``.

    Args:
        num_candidates (int): Candidates of each query that the matching looks
            at; the others follow by similarity. Defaults to 256.
        add_similarity (bool): Whether the similarity is added to the matching's
            score, as mPLUG does for videos. Defaults to False.
        **kwargs: See ``VisionLanguagePretraining``.

    Raises:
        ValueError: If there is no contrastive or no matching objective.
    """

    def __init__(
        self, num_candidates: int = 256, add_similarity: bool = False, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        names = self.names_of(MatchingObjective)
        if self.contrastive is None or not names:
            raise ValueError(
                'Retrieval needs a ContrastiveObjective and a '
                f'MatchingObjective, and has {list(self.objectives)}.'
            )
        self.matching = names[0]
        self.num_candidates = num_candidates
        self.add_similarity = add_similarity

    def forward(
        self,
        images: torch.Tensor,
        data_samples: List[Any],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Union[Features, Any]:
        """Train, or encode what is to be compared.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or videos, (B, T, 3, H,
                W), except in training.
            data_samples (list[DataSample]): See
                ``VisionLanguagePretraining.forward``; except in training,
                ``text`` holds all texts of an image.
            image_index (torch.Tensor, optional): The image of each caption, in
                training.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'``, ``'tensor'`` or ``'predict'``, which
                retrieves within the batch.

        Returns:
            dict | tuple: The losses; the features, with B images or T texts
            first; or the results of ``predict_all``.
        """
        check_choice('mode', mode, ('loss', 'tensor', 'predict'))
        if mode == 'loss':
            return super().forward(images, data_samples, image_index, image_mask, mode)
        image, mask = self.fusion.prepare_image(*self.encode_images(images, image_mask))
        texts = [text for sample in data_samples for text in texts_of(sample)]
        ids, text_mask = self.tokenize(texts, images.device)
        text = self.text_encoder(ids, text_mask)
        contrastive = self.objectives[self.contrastive]
        # Batches are joined, so that all texts are padded to one length.
        more = self.max_text_length - ids.shape[1]
        if mask is not None:
            raise ValueError(
                'Retrieval compares images of one size: let the pipeline resize them.'
            )
        features = dict(
            image=image,
            image_feature=contrastive.image_feature(
                image, num_frames=images.shape[1] if images.ndim == 5 else 1
            ),
            text=F.pad(text, (0, 0, 0, more)),
            text_mask=F.pad(mask_or_ones(text, text_mask), (0, more)),
            text_feature=contrastive.text_feature(text),
        )
        if mode == 'tensor':
            return features
        return self.predict_all(features, data_samples)

    @torch.no_grad()
    def predict_all(
        self,
        feats: Features,
        data_samples: List[Any],
        num_images: Optional[int] = None,
        num_texts: Optional[int] = None,
    ) -> Tuple[List[Any], List[Any]]:
        """Compare the images and texts of all batches; see ``forward``.

        Args:
            feats (dict[str, torch.Tensor]): Features of this rank's samples.
            data_samples (list[DataSample]): The samples, with ``text`` and, to
                be evaluated, ``gt_text_id`` and ``gt_image_id``.
            num_images (int, optional): Images on all ranks; what a sampler
                repeats beyond is left out. Defaults to all.
            num_texts (int, optional): The same of texts.

        Returns:
            tuple[list[DataSample], list[DataSample]]: A sample for each image
            with ``pred_score``, the scores of all texts, and one for each text
            with those of all images.
        """
        gather = require(
            'mmpretrain.models.multimodal.blip.blip_retrieval'
        ).all_gather_concat
        every = {name: gather(value) for name, value in feats.items()}
        every = {
            name: value[: num_images if 'image' in name else num_texts]
            for name, value in every.items()
        }
        images = range(len(feats['image']))
        texts = range(len(feats['text']))
        i2t = feats['image_feature'] @ every['text_feature'].T
        t2i = feats['text_feature'] @ every['image_feature'].T
        for own, scores in zip(images, i2t):
            self._match(scores, feats, every, image=own)
        for own, scores in zip(texts, t2i):
            self._match(scores, every, feats, text=own)
        return (
            _results(data_samples, i2t, 'text'),
            _results(_by_text(data_samples), t2i, 'image'),
        )

    def _match(
        self,
        scores: torch.Tensor,
        images: Features,
        texts: Features,
        image: Optional[int] = None,
        text: Optional[int] = None,
    ) -> None:
        """Put the best of the scores in the order of the matching."""
        number = min(self.num_candidates, len(scores))
        best = scores.topk(number).indices
        one = torch.full_like(best, image if text is None else text)
        image, text = (one, best) if text is None else (best, one)
        fused = self.fusion.fuse(
            texts['text'][text], images['image'][image], texts['text_mask'][text], None
        )
        logits = self.objectives[self.matching].logits(fused.text).float()
        matched = (logits[:, 1] - logits[:, 0]).to(scores)
        if self.add_similarity:
            matched += scores[best]
        # Similarities are at most 1, so that all others come behind.
        scores -= 1e4
        scores[best] = matched


def texts_of(sample: Any) -> List[str]:
    """All texts of a ``DataSample``."""
    texts = sample.get('text', sample.get('gt_caption'))
    return [texts] if isinstance(texts, str) else list(texts)


def _by_text(samples: List[Any]) -> List[Any]:
    """A sample for each text, with the image that it belongs to."""
    result = []
    for sample in samples:
        for number, text in enumerate(texts_of(sample)):
            single = type(sample)(text=text)
            if 'gt_image_id' in sample:
                single.set_field([sample.gt_image_id[number]], 'gt_image_id')
            result.append(single)
    return result


def _results(samples: List[Any], scores: torch.Tensor, found: str) -> List[Any]:
    for sample, row in zip(samples, scores):
        row = row.clone()  # A dumped view would drag the whole matrix along.
        sample.set_pred_score(row).set_pred_label(row.argmax(keepdim=True))
        right = sample.get(f'gt_{found}_id')
        if right is not None:
            sample.set_gt_label(right)
    return samples
