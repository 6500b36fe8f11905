"""Loading of images, with a choice for unreadable files."""

import logging
from typing import Optional

import mmcv
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from mmvlfusion.registry import TRANSFORMS
from mmvlfusion.utils.checks import check_choice


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

    MAX_WORKERS = 256

    def __init__(self, on_error: str = 'raise', **kwargs) -> None:
        super().__init__(**kwargs)
        check_choice('on_error', on_error, ('raise', 'skip'))
        self.on_error = on_error
        # One counter per worker in shared memory: the main process can read all
        # of them, and no lock is needed.
        self._skipped = torch.zeros(self.MAX_WORKERS, dtype=torch.int64).share_memory_()

    @property
    def num_skipped(self) -> int:
        """int: Number of unreadable images that all workers have skipped."""
        return int(self._skipped.sum())

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']``, or decode ``results['img_bytes']``.

        Samples that have ``img`` already, such as those of the hosts'
        inferencers, are returned unchanged.

        Args:
            results (dict): The sample.

        Returns:
            dict | None: The sample with its image, or None if the image is
            skipped.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the image is unreadable and ``on_error`` is
                ``'raise'``.
        """
        if 'img' in results:
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
            message = f'Cannot read the image {results["img_path"]}: {error}'
            if self.on_error == 'raise':
                raise ValueError(
                    f'{message}. Repair or remove the file, or load with '
                    "on_error='skip' to train without it."
                ) from error
        worker = get_worker_info()
        worker_id = 0 if worker is None else worker.id
        self._skipped[worker_id % self.MAX_WORKERS] += 1
        print_log(
            f'{message}. Skipped; {self.num_skipped} images skipped so far.',
            logger='current',
            level=logging.WARNING,
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
