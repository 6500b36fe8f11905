"""Data preprocessor for images of several sizes with texts."""

from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor

from mmvlfusion.registry import MODELS


@MODELS.register_module()
class ImageTextDataPreprocessor(BaseDataPreprocessor):
    """Normalise and pad images, and flatten the questions of each image.

    A sample holds one question, as in mmpretrain's data sets, or the
    ``questions`` of its image, as in those of mmvlfusion.

    Args:
        mean (Sequence[float]): Mean of each channel, in the channel order
            after ``to_rgb``. Defaults to 127.5 for each.
        std (Sequence[float]): Standard deviation of each channel. Defaults to
            127.5 for each.
        to_rgb (bool): Whether to convert BGR to RGB. Defaults to True.
        non_blocking (bool): Whether copies to the device may be asynchronous.
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
        """Prepare a batch of B images with Q questions in total.

        Args:
            data (dict): ``inputs``, the images, as a tensor or a list; and
                ``data_samples``.
            training (bool): Not used. Defaults to False.

        Returns:
            dict: ``images`` (B, 3, H, W), padded at the right and the bottom,
            or videos of one size with T frames, (B, T, 3, H, W);
            ``data_samples``, one per question, or None; ``image_index`` (Q),
            the image of each question, or None if each image has one;
            ``image_mask`` (B, H, W), True at valid pixels, or None if all
            images have one size.
        """
        data = self.cast_data(data)
        images, mask = data['inputs'], None
        if isinstance(images, torch.Tensor):
            images = self._normalize(images)
        else:
            height = max(x.shape[-2] for x in images)
            width = max(x.shape[-1] for x in images)
            if any(x.shape[-2:] != (height, width) for x in images):
                valid = [x.new_ones(x.shape[-2:], dtype=torch.bool) for x in images]
                mask = torch.stack([_pad(x, height, width) for x in valid])
            images = torch.stack(
                [_pad(self._normalize(x), height, width) for x in images]
            )
        samples, index = [], []
        for number, sample in enumerate(data.get('data_samples') or []):
            questions = sample.get('questions', [sample])
            samples += questions
            index += [number] * len(questions)
        image_index = None
        if index and index != list(range(len(images))):
            image_index = images.new_tensor(index, dtype=torch.long)
        return dict(
            images=images,
            data_samples=samples or None,
            image_index=image_index,
            image_mask=mask,
        )


def _pad(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Pad the last two dimensions with zeros at their end."""
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
