"""Image-text contrastive learning."""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch.distributed.nn.functional import all_gather as gather_with_gradient

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..fusion import masked_mean
from .base import ImageTextPairs, Objective


@MODELS.register_module()
class ContrastiveObjective(Objective):
    """An image and its captions are alike, all others are not (ALBEF, arXiv
    2107.07651, equations 1 and 6, which mPLUG follows).

    Images are compared with the captions that the momentum encoders read in
    this batch, on all ranks, and in the batches of the queue, and captions with
    such images. The momentum encoders' own similarities soften the targets.
    Online features are gathered over ranks with their gradient, so that the
    loss and its gradient are those of one process with the whole batch.

    Args:
        feature_dims (int): Channels of the features that are compared. Defaults
            to 256.
        temperature (float): What similarities are divided by at first; it is
            learned. Defaults to 0.07.
        temperature_range (Sequence[float]): Its least and greatest value.
            Defaults to (0.001, 0.5).
        alpha (float): Share of the momentum encoders' similarities in the
            targets; mmpretrain's ``WarmupParamHook`` can raise it from 0.
            Defaults to 0.4.
        pool (str): The feature of an image is that of its ``'first'`` token, as
            behind a ViT with a class token, or the ``'mean'`` of all. That of a
            text is always its first token's. Defaults to ``'mean'``.
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
        check_choice('pool', pool, ('first', 'mean'))
        self.image_proj = nn.Linear(self.embed_dims, feature_dims)
        self.text_proj = nn.Linear(self.embed_dims, feature_dims)
        self.temperature = nn.Parameter(torch.tensor(temperature))
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
        """Normalised features (B, F) of the images' tokens (B, M, D), or the
        mean of those of a video's frames."""
        if num_frames > 1:
            frames = self.image_feature(
                image.unflatten(1, (num_frames, -1)).flatten(0, 1)
            )
            frames = frames.unflatten(0, (-1, num_frames))
            return F.normalize(frames.mean(dim=1), dim=-1)
        pooled = image[:, 0] if self.pool == 'first' else masked_mean(image, mask)
        return F.normalize(self.image_proj(pooled), dim=-1)

    def text_feature(self, text: torch.Tensor) -> torch.Tensor:
        """Normalised features (B, F) of the texts' tokens (B, L, D)."""
        return F.normalize(self.text_proj(text[:, 0]), dim=-1)

    def features(self, pairs: ImageTextPairs) -> Tuple[torch.Tensor, torch.Tensor]:
        """Features of the images and of the texts, (B, F) each."""
        return (
            self.image_feature(pairs.image, pairs.image_mask),
            self.text_feature(pairs.text),
        )

    @torch.no_grad()
    def similarity(self, pairs: ImageTextPairs) -> torch.Tensor:
        """How much image i resembles caption j as logits, (B, B)."""
        image, text = self.features(pairs)
        return image @ text.T / self.temperature

    def forward(self, model: nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """See ``Objective``; adds the batch to the model's queue."""
        with torch.no_grad():
            self.temperature.clamp_(*self.temperature_range)
            ema = model.ema_model.module.objectives[self.name]
            keys = [
                torch.cat(all_gather(key.contiguous()))
                for key in (*ema.features(pairs.ema), pairs.image_ids)
            ]
        image_keys, text_keys, key_ids = (
            torch.cat(part) for part in zip(keys, model.queue.get())
        )
        image, text = self.features(pairs)
        if get_world_size() > 1:
            image, text = (
                torch.cat(gather_with_gradient(query)) for query in (image, text)
            )
        positives = (keys[2][:, None] == key_ids).float()
        targets = positives / positives.sum(dim=1, keepdim=True)
        loss = (
            sum(
                self._loss(query @ key.T, own @ key.T, targets)
                for query, own, key in (
                    (image, keys[0], text_keys),
                    (text, keys[1], image_keys),
                )
            )
            / 2
        )
        model.queue.enqueue(*keys)
        return loss

    def _loss(
        self, similarity: torch.Tensor, momentum: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy of similarities (B, K) and softened targets."""
        soft = (momentum / self.temperature).detach().softmax(dim=1)
        targets = self.alpha * soft + (1 - self.alpha) * targets
        return F.cross_entropy(similarity / self.temperature, targets)


class FeatureQueue(nn.Module):
    """Features of the last images and captions, the oldest of which the next
    take the place of; equal on all ranks.

    Args:
        size (int): Number K of pairs.
        feature_dims (int): Channels F of the features.
    """

    def __init__(self, size: int, feature_dims: int) -> None:
        super().__init__()
        self.size = size
        # Ranks that draw by seeds of their own need equal queues all the same.
        generator = torch.Generator().manual_seed(0)
        for name in ('image', 'text'):
            features = torch.randn(size, feature_dims, generator=generator)
            self.register_buffer(name, F.normalize(features, dim=1))
        self.register_buffer('ids', torch.full((size,), -1))
        self.register_buffer('position', torch.zeros((), dtype=torch.long))
        self._checked = False

    def get(self) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The features of images, (K, F), of texts, (K, F), and the numbers of
        the images, (K), -1 where there is none yet."""
        return self.image.clone(), self.text.clone(), self.ids.clone()

    def enqueue(
        self, image: torch.Tensor, text: torch.Tensor, ids: torch.Tensor
    ) -> None:
        """Add the pairs of a batch of all ranks.

        Raises:
            ValueError: If the first batch does not divide the size.
        """
        if not self._checked and self.size % len(ids):
            raise ValueError(
                f'queue_size={self.size} must be a multiple of the '
                f"{len(ids)} pairs of a batch on all ranks: set the model's "
                'queue_size, or the batch_size of train_dataloader.'
            )
        self._checked = True
        places = torch.arange(len(ids), device=ids.device)
        places = (self.position + places) % self.size
        self.image[places] = image.to(self.image)
        self.text[places] = text.to(self.text)
        self.ids[places] = ids
        self.position.copy_((self.position + len(ids)) % self.size)
