"""Loading of images, some of which may be broken."""

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
    """Load an image; an unreadable one is named, or skipped and counted. Images
    that are in memory as ``img_bytes`` are decoded.

    Args:
        on_error (str): ``'raise'`` stops at an unreadable file, ``'skip'``
            logs it with the running count and lets the training set draw
            another sample; a file that is missing always stops. Evaluation
            sets must not skip: mmengine stops them at a missing sample.
            Defaults to ``'raise'``.
        **kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If ``on_error`` is neither of the two, or the file cannot
            be read as an image.
    """

    MAX_WORKERS = 256

    def __init__(self, on_error: str = 'raise', **kwargs) -> None:
        super().__init__(**kwargs)
        check_choice('on_error', on_error, ('raise', 'skip'))
        self.on_error = on_error
        # One shared counter a worker, so that none waits for another.
        self._skipped = torch.zeros(self.MAX_WORKERS, dtype=torch.int64).share_memory_()

    @property
    def num_skipped(self) -> int:
        """int: Unreadable images that all workers have met so far."""
        return int(self._skipped.sum())

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']``, see the base class. Images that are
        loaded already, as by the inferencers of the hosts, pass."""
        if 'img' in results:
            return results
        try:
            if 'img_bytes' in results:
                return self._decode(results)
            return super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'The image {results["img_path"]} is missing: correct the '
                'data_root and the prefix, or remove its entry.'
            ) from error
        except Exception as error:
            message = f'Cannot read the image {results["img_path"]}: {error}'
            if self.on_error == 'raise':
                raise ValueError(
                    f'{message}. Repair or remove the file, or load with '
                    "on_error='skip' to train without it."
                ) from error
        worker = get_worker_info()
        self._skipped[(worker.id if worker else 0) % self.MAX_WORKERS] += 1
        print_log(
            f'{message}. Skipped; {self.num_skipped} skipped so far.',
            logger='current',
            level=30,
        )
        return None

    def _decode(self, results: dict) -> dict:
        """Decode an image that is in memory, as those of archives are."""
        image = mmcv.imfrombytes(
            results.pop('img_bytes'),
            flag=self.color_type,
            backend=self.imdecode_backend,
        )
        if image is None:
            raise ValueError('it is no image')
        if self.to_float32:
            image = image.astype('float32')
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results
