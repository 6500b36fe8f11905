"""Videos of a scene, by a camera that moves."""

from typing import List

import cv2
import numpy as np

from .scene import Scene


def film(scene: Scene, rng: np.random.Generator, num_frames: int) -> List[np.ndarray]:
    """Film a scene by a camera that moves along a straight line, so little
    that what is said of the scene stays true.

    Args:
        scene (Scene): The scene.
        rng (numpy.random.Generator): Source of all randomness.
        num_frames (int): Number of frames.

    Returns:
        list[np.ndarray]: The frames, of the size of ``scene.image``, BGR; the
        camera moves by at most 6 % of their side from the middle.
    """
    height, width = scene.image.shape[:2]
    ends = rng.uniform(-0.06, 0.06, (2, 2)) * (width, height)
    frames = []
    for x, y in np.linspace(*ends, num_frames):
        shift = np.array([(1, 0, x), (0, 1, y)])
        frames.append(
            cv2.warpAffine(
                scene.image, shift, (width, height), borderMode=cv2.BORDER_REFLECT
            )
        )
    return frames
