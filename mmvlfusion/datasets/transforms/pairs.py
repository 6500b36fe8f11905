"""Loading of several images of a sample.

Shapes: T images, H W height and width in pixels.
"""

from typing import List, Optional

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmvlfusion.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImages(BaseTransform):
    """Load all images of a sample, each by the same transforms.

    ``results['img_paths']`` are the paths. ``results['img']`` becomes the images,
    (T, 3, H, W). Random transforms draw new values for each image, as in NLVR2's
    training by ALBEF.

    Args:
        transforms (list[dict]): Configs of the transforms, from the path of an
            image to images of one size.
    """

    def __init__(self, transforms: List[dict]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> Optional[dict]:
        """Load the images.

        Args:
            results (dict): The sample.

        Returns:
            dict | None: The sample with ``img``, ``img_shape`` and
            ``ori_shape`` of the first image; None if an image is skipped.

        Raises:
            ValueError: If the images have several sizes.
        """
        loaded = []
        for path in results['img_paths']:
            image = self.transforms(dict(img_path=path))
            if image is None:
                return None
            loaded.append(image)
        sizes = {image['img'].shape for image in loaded}
        if len(sizes) > 1:
            raise ValueError(
                f'The images {results["img_paths"]} have the shapes {sorted(sizes)} '
                'after the transforms of LoadImages, expected one: add Resize with a '
                'height and a width to them.'
            )
        # (T, H, W, 3) -> (T, 3, H, W)
        images = np.stack([image['img'] for image in loaded]).transpose(0, 3, 1, 2)
        results['img'] = np.ascontiguousarray(images)
        for key in ('img_shape', 'ori_shape'):
            results[key] = loaded[0][key]
        return results
