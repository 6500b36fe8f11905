"""Texts, boxes and overlays of pictures."""

from typing import ContextManager, Optional, Sequence, Tuple

import cv2
import matplotlib
import numpy as np

# Smaller images are enlarged to about this side in pixels, so that labels fit.
ENLARGED_SIDE = 384
LINE_WIDTH = 3  # Of a box, in pixels.
GREEN, RED = (0, 200, 0), (255, 0, 0)
GRAY_WEIGHT, COLOR_WEIGHT = 0.35, 0.65  # Of image and map in an overlay.


def literal_texts() -> ContextManager[None]:
    """Make matplotlib draw texts with dollar signs literally, not as formulas.

    For texts that a host draws, such as the names of classes. matplotlib parses
    wrapped texts all the same, see ``escape_math``.

    Returns:
        ContextManager: The context.
    """
    return matplotlib.rc_context({'text.parse_math': False})


def escape_math(text: str) -> str:
    """Escape dollar signs, so that matplotlib does not parse formulas.

    Not for use within ``literal_texts``.

    Args:
        text (str): The text.

    Returns:
        str: The text that matplotlib draws as ``text``.
    """
    return text.replace('$', r'\$')


def with_score(text: str, score: Optional[float]) -> str:
    """Append the score of a prediction to its text.

    Args:
        text (str): The text.
        score (float, optional): The score, or None if the prediction has none.

    Returns:
        str: The text with two significant digits of the score, such as
        ``'yes (0.87)'`` or ``'a red star (0.0031)'``.
    """
    return text if score is None else f'{text} ({score:.2g})'


def enlarge(image: np.ndarray) -> Tuple[np.ndarray, int]:
    """Enlarge a small image by an integer factor.

    Args:
        image (np.ndarray): Image or label map, (H, W, ...).

    Returns:
        tuple[np.ndarray, int]: The enlarged image and the factor.
    """
    factor = max(1, ENLARGED_SIDE // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1), factor


def draw_box(
    image: np.ndarray, box: Sequence[float], color: Tuple[int, int, int]
) -> None:
    """Draw a box on an image, in place.

    Args:
        image (np.ndarray): RGB image, (H, W, 3).
        box (Sequence[float]): x1, y1, x2, y2 in pixels.
        color (tuple[int, int, int]): RGB colour, 0 to 255.
    """
    corners = np.rint(box).astype(int).tolist()
    cv2.rectangle(image, corners[:2], corners[2:], color, LINE_WIDTH)


def overlay(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Draw a map, such as attention, over the grey image.

    Args:
        image (np.ndarray): RGB image, (H, W, 3), 0 to 255.
        weights (np.ndarray): The map, (h, w), of any scale.

    Returns:
        np.ndarray: RGB image, (H, W, 3), 0 to 255.
    """
    weights = cv2.resize(weights.astype(np.float32), image.shape[1::-1])
    weights = (weights - weights.min()) / max(np.ptp(weights), 1e-9)
    color = matplotlib.colormaps['inferno'](weights)[..., :3]
    gray = image.mean(axis=2, keepdims=True) / 255
    mixed = GRAY_WEIGHT * gray + COLOR_WEIGHT * color
    return (255 * mixed).round().astype(np.uint8)
