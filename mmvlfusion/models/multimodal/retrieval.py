"""Image-text retrieval in both directions.

Notation of shapes:

    ====  ==========================================
    B     images of a batch
    Q     texts of a batch
    L     tokens of a text, after padding
    M     tokens of an image or of all frames
    T     frames of a video
    D     channels of a token
    F     channels of a feature
    H W   height and width of an image in pixels
    ====  ==========================================
"""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, require

from .fusion import mask_or_ones
from .objectives import MatchingObjective
from .pretraining import VisionLanguagePretraining

Features = Dict[str, torch.Tensor]

# Subtracted from the similarity of the texts or images that are not candidates.
# A similarity is at most 1, so they rank after all candidates.
NON_CANDIDATE_OFFSET = 1e4


@MODELS.register_module()
class ImageTextRetrieval(VisionLanguagePretraining):
    """Retrieval in two stages.

    The features of the contrastive objective select the candidates of a query.
    The matching objective re-ranks them by its logit of a match, as in the
    released code of mPLUG and ALBEF, with which the published recalls were
    measured. It does not subtract the logit of no match. For validation and tests use
    mmpretrain's ``RetrievalValLoop`` and ``RetrievalTestLoop`` with its data
    sets and ``RetrievalRecall``.

    Args:
        num_candidates (int): Candidates of each query that are re-ranked by
            matching. The others follow by similarity. Defaults to 256.
        add_similarity (bool): Whether to add the similarity to the matching
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
                f'MatchingObjective, but objectives has {list(self.objectives)}.'
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
        """Compute the losses, encode images and texts, or retrieve.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W); except in training also
                videos, (B, T, 3, H, W).
            data_samples (list[DataSample]): See
                ``VisionLanguagePretraining.forward``. Except in training there
                is one per image, and ``text`` holds all texts of the image.
            image_index (torch.Tensor, optional): Index of the image of each
                caption, in training. Defaults to None, one caption per image.
            image_mask (torch.Tensor, optional): True at valid pixels, (B, H,
                W), in training. Defaults to None, all.
            mode (str): ``'loss'``, ``'tensor'`` or ``'predict'``, which
                retrieves within the batch. Defaults to ``'tensor'``.

        Returns:
            dict | tuple: The losses; the features (``image`` (B, M, D),
            ``image_feature`` (B, F), ``text`` (Q, L, D), ``text_mask`` (Q, L),
            ``text_feature`` (Q, F)); or the results of ``predict_all``.

        Raises:
            ValueError: If images differ in size, except in training.
        """
        check_choice('mode', mode, ('loss', 'tensor', 'predict'))
        if mode == 'loss':
            return super().forward(images, data_samples, image_index, image_mask, mode)
        texts = [text for sample in data_samples for text in texts_of(sample)]
        features = {
            **self.image_features(images, image_mask),
            **self.text_features(texts, images.device),
        }
        if mode == 'tensor':
            return features
        return self.predict_all(features, data_samples)

    def image_features(
        self, images: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Features:
        """Compute the features of images or videos.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W) or (B, T, 3, H, W).
            mask (torch.Tensor, optional): True at valid pixels, (B, H, W).
                Defaults to None, all.

        Returns:
            dict[str, torch.Tensor]: ``image`` (B, M, D) and ``image_feature``
            (B, F).

        Raises:
            ValueError: If the images differ in size.
        """
        image, mask = self.fusion.prepare_image(*self.encode_images(images, mask))
        if mask is not None:
            raise ValueError(
                'Retrieval needs images of one size: add a resize to the pipeline.'
            )
        num_frames = images.shape[1] if images.ndim == 5 else 1
        contrastive = self.objectives[self.contrastive]
        feature = contrastive.image_feature(image, num_frames=num_frames)
        return dict(image=image, image_feature=feature)

    def text_features(self, texts: List[str], device: torch.device) -> Features:
        """Compute the features of texts, padded to one length.

        Args:
            texts (list[str]): The Q texts.
            device (torch.device): Device of the result.

        Returns:
            dict[str, torch.Tensor]: ``text`` (Q, L, D), ``text_mask`` (Q, L) and
            ``text_feature`` (Q, F).
        """
        ids, mask = self.tokenize(texts, device)
        text = self.text_encoder(ids, mask)
        # Pad all texts to one length, because batches are concatenated.
        padding = self.max_text_length - ids.shape[1]
        return dict(
            text=F.pad(text, (0, 0, 0, padding)),
            text_mask=F.pad(mask_or_ones(text, mask), (0, padding)),
            text_feature=self.objectives[self.contrastive].text_feature(text),
        )

    @torch.no_grad()
    def rank_images(self, images: Features, texts: Features) -> List[torch.Tensor]:
        """Compute the scores of all images for each text.

        Args:
            images (dict[str, torch.Tensor]): The result of ``image_features``.
            texts (dict[str, torch.Tensor]): The result of ``text_features``.

        Returns:
            list[torch.Tensor]: The scores of the B images, (B), for each text.
        """
        similarity = texts['text_feature'] @ images['image_feature'].T
        return [
            self._rerank(row, images, texts, text=number)
            for number, row in enumerate(similarity)
        ]

    @torch.no_grad()
    def predict_all(
        self,
        feats: Features,
        data_samples: List[Any],
        num_images: Optional[int] = None,
        num_texts: Optional[int] = None,
    ) -> Tuple[List[Any], List[Any]]:
        """Compare the images and texts of all batches.

        Args:
            feats (dict[str, torch.Tensor]): Features of this rank's samples,
                concatenated from ``forward``.
            data_samples (list[DataSample]): The samples, with ``text`` and, for
                evaluation, ``gt_text_id`` and ``gt_image_id``.
            num_images (int, optional): Number of images on all ranks. Those
                that a sampler repeats after them are ignored. Defaults to
                None, all.
            num_texts (int, optional): Number of texts on all ranks. Defaults to
                None, all.

        Returns:
            tuple[list[DataSample], list[DataSample]]: One sample per image with
            the scores of all texts as ``pred_score``, and one per text with the
            scores of all images.
        """
        gather = require(
            'mmpretrain.models.multimodal.blip.blip_retrieval'
        ).all_gather_concat
        gathered = {}
        for name, value in feats.items():
            number = num_images if 'image' in name else num_texts
            gathered[name] = gather(value)[:number]
        i2t = feats['image_feature'] @ gathered['text_feature'].T
        i2t = [
            self._rerank(row, feats, gathered, image=number)
            for number, row in enumerate(i2t)
        ]
        t2i = self.rank_images(gathered, feats)
        return (
            _results(data_samples, i2t, 'text'),
            _results(_by_text(data_samples), t2i, 'image'),
        )

    def _rerank(
        self,
        similarity: torch.Tensor,
        images: Features,
        texts: Features,
        image: Optional[int] = None,
        text: Optional[int] = None,
    ) -> torch.Tensor:
        """Re-rank the top candidates of a query by their matching score.

        Args:
            similarity (torch.Tensor): Similarity of the query to all texts,
                (Q), or to all images, (B).
            images (dict[str, torch.Tensor]): Features of the images.
            texts (dict[str, torch.Tensor]): Features of the texts.
            image (int, optional): Index of the query if it is an image.
            text (int, optional): Index of the query if it is a text.

        Returns:
            torch.Tensor: New scores, in the shape of ``similarity``.
        """
        number = min(self.num_candidates, len(similarity))
        candidates = similarity.topk(number).indices
        if text is None:
            image_rows = torch.full_like(candidates, image)
            text_rows = candidates
        else:
            image_rows = candidates
            text_rows = torch.full_like(candidates, text)
        fused = self.fusion.fuse(
            texts['text'][text_rows],
            images['image'][image_rows],
            texts['text_mask'][text_rows],
            None,
        )
        logits = self.objectives[self.matching].logits(fused.text).float()
        matching = logits[:, 1].to(similarity)
        if self.add_similarity:
            matching = matching + similarity[candidates]
        scores = similarity - NON_CANDIDATE_OFFSET
        scores[candidates] = matching
        return scores


def texts_of(sample: Any) -> List[str]:
    """Get all texts of a sample.

    Args:
        sample (DataSample): The sample, with ``text`` or ``gt_caption``.

    Returns:
        list[str]: The texts.
    """
    texts = sample.get('text', sample.get('gt_caption'))
    return [texts] if isinstance(texts, str) else list(texts)


def _by_text(samples: List[Any]) -> List[Any]:
    """Create a sample for each text, with the id of its image."""
    result = []
    for sample in samples:
        for number, text in enumerate(texts_of(sample)):
            single = type(sample)(text=text)
            if 'gt_image_id' in sample:
                single.set_field([sample.gt_image_id[number]], 'gt_image_id')
            result.append(single)
    return result


def _results(samples: List[Any], scores: List[torch.Tensor], found: str) -> List[Any]:
    """Store the scores, and the ground truth ``gt_{found}_id`` as label."""
    for sample, row in zip(samples, scores):
        sample.set_pred_score(row).set_pred_label(row.argmax(keepdim=True))
        right = sample.get(f'gt_{found}_id')
        if right is not None:
            sample.set_gt_label(right)
    return samples
