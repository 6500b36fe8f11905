"""Videos of a scene, filmed by a moving camera."""

from typing import List

import cv2
import numpy as np

from .scene import Scene

# Largest shift of the camera from the middle, relative to the image's side.
_MAX_SHIFT = 0.06


def film(scene: Scene, rng: np.random.Generator, num_frames: int) -> List[np.ndarray]:
    """Film a scene by a camera that moves along a straight line.

    The camera moves so little that questions and captions of the scene stay
    true.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        num_frames (int): Number of frames.

    Returns:
        list[np.ndarray]: The frames, each (H, W, 3) BGR as ``scene.image``. The
        camera moves by at most 6 % of the image's side from the middle.
    """
    height, width = scene.image.shape[:2]
    ends = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, (2, 2)) * (width, height)
    frames = []
    for x, y in np.linspace(ends[0], ends[1], num_frames):
        shift = np.array([(1, 0, x), (0, 1, y)])
        frames.append(
            cv2.warpAffine(
                scene.image, shift, (width, height), borderMode=cv2.BORDER_REFLECT
            )
        )
    return frames
