"""Loading of images, with a choice for unreadable files."""

from typing import Optional

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmvlfusion.datasets.utils.skipping import SkipCounter
from mmvlfusion.registry import TRANSFORMS

# Shapes of a pixel that models for coloured images accept.
CHANNELS = ((), (1,), (3,))


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image from a file, or decode one that is in memory.

    A sample with ``img_bytes``, the content of an image file, is decoded. For
    an unreadable image, an error with the path is raised, or the sample is
    skipped and counted.

    Args:
        on_error (str): ``'raise'`` stops at an unreadable image. ``'skip'``
            logs it with the running count and returns None, so that the
            training set draws another sample. A missing file always stops.
            Evaluation sets must not skip: mmengine raises an error for a
            missing sample. Defaults to ``'raise'``.
        **kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.

    Raises:
        ValueError: If ``on_error`` is neither of the two.
    """

    def __init__(self, on_error: str = 'raise', **kwargs) -> None:
        super().__init__(**kwargs)
        self._skipped = SkipCounter('images', on_error)

    @property
    def num_skipped(self) -> int:
        """int: Number of unreadable images that all workers have skipped."""
        return self._skipped.total

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']``, or decode ``results['img_bytes']``.

        Samples that have ``img`` already, such as those of the hosts'
        inferencers, are returned unchanged. They are arrays in the order blue,
        green, red, or with grey values.

        Args:
            results (dict): The sample.

        Returns:
            dict | None: The sample with its image, or None if the image is
            skipped.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the image is unreadable and ``on_error`` is
                ``'raise'``, or if ``img`` has neither one nor three channels
                although coloured images are loaded.
        """
        if 'img' in results:
            channels = np.shape(results['img'])[2:]
            if self.color_type.startswith('color') and channels not in CHANNELS:
                raise ValueError(
                    f'The image is an array of the shape {np.shape(results["img"])}, '
                    'expected (H, W, 3) in the order blue, green, red, (H, W, 1) or '
                    '(H, W): remove an alpha channel by '
                    'cv2.cvtColor(image, cv2.COLOR_BGRA2BGR).'
                )
            return results
        try:
            if 'img_bytes' in results:
                return self._decode(results)
            return super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'The image {results["img_path"]} is missing: correct the '
                'data_root and the prefix of its data set, or remove its entry.'
            ) from error
        except Exception as error:
            self._skipped.reject(
                f'Cannot read the image {results["img_path"]}: {error}. Repair or '
                'remove the file.'
            )
        return None

    def _decode(self, results: dict) -> dict:
        """Decode an image that is in memory, such as one from an archive."""
        image = mmcv.imfrombytes(
            results.pop('img_bytes'),
            flag=self.color_type,
            backend=self.imdecode_backend,
        )
        if image is None:
            raise ValueError('not a valid image')
        if self.to_float32:
            image = image.astype('float32')
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results
