"""Loading of videos as a few of their frames.

Shapes: T frames, H W height and width in pixels.
"""

from typing import Tuple

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmvlfusion.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadVideoFrames(BaseTransform):
    """Load frames of a video, evenly spaced in time and resized.

    ``results['img_path']`` is the path of the video. ``results['img']`` becomes
    its frames, (T, 3, H, W), BGR. A multimodal model encodes each frame and
    fuses the tokens of all frames as one sequence (mPLUG, Section 4.5).

    Args:
        num_frames (int): Number T of frames. Defaults to 16.
        size (tuple[int, int]): Width and height of the frames in pixels.
            Defaults to (224, 224).

    Raises:
        ValueError: If ``num_frames`` is below 1.
    """

    def __init__(
        self, num_frames: int = 16, size: Tuple[int, int] = (224, 224)
    ) -> None:
        if num_frames < 1:
            raise ValueError(f'num_frames={num_frames} must be at least 1.')
        self.num_frames = num_frames
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Load the frames of ``results['img_path']``.

        Args:
            results (dict): The sample.

        Returns:
            dict: The sample with ``img``, ``img_shape`` and ``ori_shape``.

        Raises:
            ValueError: If the video cannot be read, or has no frames.
        """
        path = results['img_path']
        try:
            video = mmcv.VideoReader(path)
            positions = np.arange(self.num_frames) * len(video) / self.num_frames
            frames = [video.get_frame(int(position)) for position in positions]
        except Exception as error:
            raise ValueError(
                f'Cannot read the video {path} ({error!r}): repair the file, or '
                'remove its entry.'
            ) from error
        if not len(video) or any(frame is None for frame in frames):
            raise ValueError(
                f'Cannot read {self.num_frames} frames of the video {path}, '
                f'which has {len(video)} frames: repair the file, or remove its '
                'entry.'
            )
        resized = np.stack([mmcv.imresize(frame, self.size) for frame in frames])
        # (T, H, W, 3) -> (T, 3, H, W)
        results['img'] = np.ascontiguousarray(resized.transpose(0, 3, 1, 2))
        results['img_shape'] = self.size[::-1]
        results['ori_shape'] = (video.height, video.width)
        return results
