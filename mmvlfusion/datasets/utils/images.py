"""Sizes of image files as their loaders return them."""

import io
import warnings
from typing import Any, NamedTuple, Optional, Tuple, Type

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform, LoadAnnotations, LoadImageFromFile
from PIL import ExifTags, Image, UnidentifiedImageError

# Decoders of mmcv that read the orientation in the EXIF data, unless the flag ends
# with this.
ORIENTING_BACKENDS = ('cv2', 'pillow')
IGNORE_ORIENTATION = '_ignore_orientation'
UPRIGHT = 1


class ImageSize(NamedTuple):
    """Size of an image file.

    Attributes:
        stored (tuple[int, int]): Width and height of the stored pixels.
        loaded (tuple[int, int]): Width and height after loading.
        is_turned (bool): Whether the loader rotates or flips the stored pixels,
            as the orientation in the EXIF data says.
    """

    stored: Tuple[int, int]
    loaded: Tuple[int, int]
    is_turned: bool


def image_size(where: str, path: str, dataset: Any) -> ImageSize:
    """Read the size of an image.

    Args:
        where (str): The data set, for errors.
        path (str): The file.
        dataset (Any): The data set, whose pipeline loads the image.

    Returns:
        ImageSize: The size.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not an image, or is too large for its loader.
    """
    loader = find_loader(dataset, LoadImageFromFile) or LoadImageFromFile()
    content = _read(where, path, dataset)
    image = _open(where, path, content, loader.imdecode_backend)
    if not _has_orientation(image):
        return ImageSize(image.size, image.size, False)

    def decode(flag: str) -> np.ndarray:
        array = mmcv.imfrombytes(content, flag=flag, backend=loader.imdecode_backend)
        if array is None:
            raise ValueError(_unreadable(where, path))
        return array

    # Decoders differ in the formats whose orientation they read.
    flag = loader.color_type
    loaded = stored = decode(flag)
    if loader.imdecode_backend in ORIENTING_BACKENDS and flag in ('color', 'grayscale'):
        stored = decode(flag + IGNORE_ORIENTATION)
    return ImageSize(
        stored=(stored.shape[1], stored.shape[0]),
        loaded=(loaded.shape[1], loaded.shape[0]),
        is_turned=not np.array_equal(stored, loaded),
    )


def read_label_map(where: str, path: str, dataset: Any) -> np.ndarray:
    """Read a label map without a change of its values.

    Args:
        where (str): The data set, for errors.
        path (str): The file.
        dataset (Any): The data set, whose pipeline loads the map.

    Returns:
        numpy.ndarray: The labels, (H, W), or colours, (H, W, C).

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not an image, or is too large for its loader.
    """
    loader = find_loader(dataset, LoadAnnotations)
    backend = 'pillow' if loader is None else loader.imdecode_backend
    content = _read(where, path, dataset)
    return np.asarray(_open(where, path, content, backend))


def find_loader(dataset: Any, kind: Type[BaseTransform]) -> Optional[Any]:
    """Find the first step of a class in the pipeline of a data set.

    Args:
        dataset (Any): The data set.
        kind (type): The class.

    Returns:
        BaseTransform | None: The step, or None.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return next((step for step in steps if isinstance(step, kind)), None)


def _read(where: str, path: str, dataset: Any) -> bytes:
    """Read a file that a data set lists."""
    backend_args = getattr(dataset, 'backend_args', None)
    if not fileio.exists(path, backend_args):
        raise FileNotFoundError(
            f'{where} lists {path}, which is missing: check data_root and '
            'data_prefix, and that annotations and images are of the same split.'
        )
    return fileio.get(path, backend_args)


def _open(where: str, path: str, content: bytes, backend: str) -> Image.Image:
    """Open an image; explain why it cannot be opened.

    Pillow's limit on the number of pixels counts only if Pillow is the loader.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if backend != 'pillow':
        Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise ValueError(
            f'{where} lists {path}, which is too large for its loader: {error} '
            "Set imdecode_backend='cv2' in the step of the pipeline that loads "
            'it, or cut it into smaller images.'
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(_unreadable(where, path)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _has_orientation(image: Image.Image) -> bool:
    """Check whether an image may be stored with another orientation."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT
    # Damaged EXIF data can raise almost any exception.
    except Exception:
        return True


def _unreadable(where: str, path: str) -> str:
    return (
        f'{where} lists {path}, which cannot be read as an image: repair or remove it.'
    )
