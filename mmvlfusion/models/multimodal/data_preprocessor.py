"""Batches of images of several sizes, and of their questions."""

from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor

from mmvlfusion.registry import MODELS


@MODELS.register_module()
class ImageTextDataPreprocessor(BaseDataPreprocessor):
    """Normalise and pad images, and flatten the questions of each.

    A sample holds one question, as mmpretrain's data sets make them, or the
    ``questions`` of its image, as ours do.

    Args:
        mean (Sequence[float]): Mean of each channel, in the order after
            ``to_rgb``.
        std (Sequence[float]): Standard deviation of each channel.
        to_rgb (bool): Whether to swap BGR to RGB. Defaults to True.
        non_blocking (bool): Whether copies to the device may overlap.
            Defaults to False.
    """

    def __init__(
        self,
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[float] = (127.5, 127.5, 127.5),
        to_rgb: bool = True,
        non_blocking: Optional[bool] = False,
    ) -> None:
        super().__init__(non_blocking)
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), False)
        self.to_rgb = to_rgb

    def _normalize(self, image: torch.Tensor) -> torch.Tensor:
        image = image.flip(-3) if self.to_rgb else image
        return (image.float() - self.mean) / self.std

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch of B images with Q questions in all.

        Returns:
            dict: ``images`` (B, C, H, W), padded at the right and below, or
            videos of one size, (B, T, C, H, W);
            ``data_samples``, one a question; ``image_index`` (Q), the image of
            each question, or None where it has one each; and ``image_mask``
            (B, H, W), True at real pixels, or None where all images have one
            size.
        """
        data = self.cast_data(data)
        images, mask = data['inputs'], None
        if isinstance(images, torch.Tensor):
            images = self._normalize(images)
        else:
            height, width = (max(x.shape[i] for x in images) for i in (-2, -1))
            if any(x.shape[-2:] != (height, width) for x in images):
                mask = torch.stack(
                    [
                        _pad(x.new_ones(x.shape[-2:], dtype=torch.bool), height, width)
                        for x in images
                    ]
                )
            images = torch.stack(
                [_pad(self._normalize(x), height, width) for x in images]
            )
        samples, index = [], []
        for number, sample in enumerate(data.get('data_samples') or []):
            questions = sample.get('questions', [sample])
            samples += questions
            index += [number] * len(questions)
        grouped = index and index != list(range(len(images)))
        return dict(
            images=images,
            data_samples=samples or None,
            image_index=images.new_tensor(index, dtype=torch.long) if grouped else None,
            image_mask=mask,
        )


def _pad(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
