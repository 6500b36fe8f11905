"""Image-text contrastive learning.

Notation of shapes:

    ====  =========================================
    B     pairs of a batch, on all ranks if gathered
    K     entries of the queue
    L     tokens of a caption
    M     tokens of an image
    T     frames of a video
    D     channels of a token
    F     channels of a feature
    ====  =========================================
"""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch.distributed.nn.functional import all_gather as gather_with_gradient

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number

from ..fusion import masked_mean
from .base import ImageTextPairs, Objective

# Image id of the entries of the queue that are not filled yet.
EMPTY_ID = -1


@MODELS.register_module()
class ContrastiveObjective(Objective):
    """Image-text contrastive loss with an EMA model and a queue (ALBEF, arXiv
    2107.07651, Eq. 1, 2 and 6; mPLUG uses the same loss).

    The keys are features of the EMA model: those of the batch on all ranks, and
    those of previous batches in the queue. Images are compared with caption
    keys, captions with image keys. The similarities of the EMA model soften
    the targets. The features of the trained model are gathered over ranks with
    their gradient, so that the loss and its gradient are those of a single
    process with the entire batch.

    Args:
        feature_dims (int): Channels F of the features. Defaults to 256.
        temperature (float): Initial value of the temperature, which is learned.
            Defaults to 0.07.
        temperature_range (Sequence[float]): Minimum and maximum of the
            temperature. Defaults to (0.001, 0.5).
        alpha (float): Weight of the EMA model's similarities in the targets.
            mmpretrain's ``WarmupParamHook`` can increase it from 0. Defaults
            to 0.4.
        pool (str): How to pool the image tokens: ``'first'`` for the first
            token, such as a ViT's class token, or ``'mean'``. A text is always
            represented by its first token. Defaults to ``'mean'``.
        **kwargs: See ``Objective``.
    """

    uses_ema = True

    def __init__(
        self,
        feature_dims: int = 256,
        temperature: float = 0.07,
        temperature_range: Sequence[float] = (0.001, 0.5),
        alpha: float = 0.4,
        pool: str = 'mean',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_number('feature_dims', feature_dims, 1, integer=True)
        check_number('temperature', temperature, 0, above=True)
        check_number('alpha', alpha, 0, 1)
        check_choice('pool', pool, ('first', 'mean'))
        self.image_proj = nn.Linear(self.embed_dims, feature_dims)
        self.text_proj = nn.Linear(self.embed_dims, feature_dims)
        # A vector, because sharded training does not support scalars.
        self.temperature = nn.Parameter(torch.tensor([temperature]))
        self.temperature_range = temperature_range
        self.feature_dims = feature_dims
        self.alpha = alpha
        self.pool = pool

    def image_feature(
        self,
        image: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
        num_frames: int = 1,
    ) -> torch.Tensor:
        """Compute normalised features of images or videos.

        The feature of a video is the mean over its frames, normalised once, as
        in mPLUG.

        Args:
            image (torch.Tensor): Image tokens, (B, M, D), or (B, T * M, D) of
                videos.
            mask (torch.Tensor, optional): True at valid tokens of images,
                (B, M). Defaults to None, all.
            num_frames (int): Number T of frames. Defaults to 1.

        Returns:
            torch.Tensor: Shape (B, F).
        """
        # (B, T * M, D) -> (B * T, M, D)
        image = image.unflatten(1, (num_frames, -1)).flatten(0, 1)
        pooled = image[:, 0] if self.pool == 'first' else masked_mean(image, mask)
        # (B * T, F) -> (B, T, F)
        features = self.image_proj(pooled).unflatten(0, (-1, num_frames))
        return F.normalize(features.mean(dim=1), dim=-1)

    def text_feature(self, text: torch.Tensor) -> torch.Tensor:
        """Compute normalised features of texts.

        Args:
            text (torch.Tensor): Text tokens, (B, L, D).

        Returns:
            torch.Tensor: Shape (B, F).
        """
        return F.normalize(self.text_proj(text[:, 0]), dim=-1)

    def features(self, pairs: ImageTextPairs) -> Tuple[torch.Tensor, torch.Tensor]:
        """Compute the features of a batch.

        Args:
            pairs (ImageTextPairs): The batch.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: Features of the images and of the
            texts, (B, F) each.
        """
        return (
            self.image_feature(pairs.image, pairs.image_mask),
            self.text_feature(pairs.text),
        )

    @torch.no_grad()
    def similarity(
        self, model: nn.Module, pairs: ImageTextPairs
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Compute the similarity logits of the trained model's features to the
        EMA model's features of the same batch, as in ALBEF.

        Args:
            model (VisionLanguagePretraining): The model.
            pairs (ImageTextPairs): The batch, also encoded by the EMA model.

        Returns:
            tuple[torch.Tensor, torch.Tensor]: Logits of each image to all
            captions and of each caption to all images, (B, B) each.
        """
        image, text = self.features(pairs)
        ema = model.ema_model.module.objectives[self.name]
        ema_image, ema_text = ema.features(pairs.ema)
        temperature = self.temperature.clamp(*self.temperature_range)
        return image @ ema_text.T / temperature, text @ ema_image.T / temperature

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective.forward``. The keys of the batch are added to the
        model's queue."""
        with torch.no_grad():
            self.temperature.clamp_(*self.temperature_range)
            ema = model.ema_model.module.objectives[self.name]
            ema_image, ema_text = ema.features(pairs.ema)
            ema_image = torch.cat(all_gather(ema_image.contiguous()))
            ema_text = torch.cat(all_gather(ema_text.contiguous()))
            ids = torch.cat(all_gather(pairs.image_ids.contiguous()))
        # (B, F) and (K, F) -> (B + K, F)
        queue_image, queue_text, queue_ids = model.queue.get()
        image_keys = torch.cat([ema_image, queue_image])
        text_keys = torch.cat([ema_text, queue_text])
        key_ids = torch.cat([ids, queue_ids])

        image, text = self.features(pairs)
        if get_world_size() > 1:
            image = torch.cat(gather_with_gradient(image))
            text = torch.cat(gather_with_gradient(text))
        positives = (ids[:, None] == key_ids).float()
        targets = positives / positives.sum(dim=1, keepdim=True)
        image_to_text = self._loss(
            image @ text_keys.T, ema_image @ text_keys.T, targets
        )
        text_to_image = self._loss(
            text @ image_keys.T, ema_text @ image_keys.T, targets
        )
        model.queue.enqueue(ema_image, ema_text, ids)
        return (image_to_text + text_to_image) / 2

    def _loss(
        self,
        similarity: torch.Tensor,
        ema_similarity: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy of similarities with softened targets, (B, B + K)."""
        soft = (ema_similarity / self.temperature).detach().softmax(dim=1)
        targets = self.alpha * soft + (1 - self.alpha) * targets
        return F.cross_entropy(similarity / self.temperature, targets)


class FeatureQueue(nn.Module):
    """FIFO queue of image and text features of previous batches.

    It is identical on all ranks.

    Args:
        size (int): Number K of entries.
        feature_dims (int): Channels F of the features.
    """

    def __init__(self, size: int, feature_dims: int) -> None:
        super().__init__()
        self.size = size
        # A fixed seed, since the global seed may differ between ranks.
        generator = torch.Generator().manual_seed(0)
        for name in ('image', 'text'):
            features = torch.randn(size, feature_dims, generator=generator)
            self.register_buffer(name, F.normalize(features, dim=1))
        self.register_buffer('ids', torch.full((size,), EMPTY_ID))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))
        self._checked = False

    def get(self) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Copy the entries.

        Returns:
            tuple[torch.Tensor, torch.Tensor, torch.Tensor]: Features of images,
            (K, F), features of texts, (K, F), and image ids, (K), which are -1
            for entries that are not filled yet.
        """
        return self.image.clone(), self.text.clone(), self.ids.clone()

    def enqueue(
        self, image: torch.Tensor, text: torch.Tensor, ids: torch.Tensor
    ) -> None:
        """Add the pairs of a batch; they replace the oldest entries.

        Args:
            image (torch.Tensor): Features of images of all ranks, (B, F).
            text (torch.Tensor): Features of texts of all ranks, (B, F).
            ids (torch.Tensor): Image ids, (B).

        Raises:
            ValueError: If the size of the first batch does not divide the size
                of the queue.
        """
        if not self._checked and self.size % len(ids):
            raise ValueError(
                f'queue_size={self.size} must be a multiple of the '
                f'{len(ids)} pairs of a batch on all ranks: set queue_size of '
                'the model, or batch_size of train_dataloader.'
            )
        self._checked = True
        offsets = torch.arange(len(ids), device=ids.device)
        places = (self.position + offsets) % self.size
        self.image[places] = image.to(self.image)
        self.text[places] = text.to(self.text)
        self.ids[places] = ids
        self.position.copy_((self.position + len(ids)) % self.size)
