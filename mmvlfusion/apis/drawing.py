"""Drawing of data samples by the visualizers of the hosts."""

import os
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import VISUALIZERS

from mmvlfusion.utils.drawing import literal_texts


def build_visualizer(cfg: Config, dataset_meta: dict) -> Any:
    """Build the visualizer of a config.

    Args:
        cfg (Config): The config.
        dataset_meta (dict): The names of the classes and the palette.

    Returns:
        Any: The visualizer.
    """
    # mmengine shares visualizers of one name; two models may have other classes.
    settings = dict(cfg.visualizer, vis_backends=None, name=uuid4().hex)
    visualizer = VISUALIZERS.build(settings)
    visualizer.dataset_meta = dataset_meta
    return visualizer


def draw_sample(
    visualizer: Any, image: np.ndarray, sample: Any, **kwargs: Any
) -> np.ndarray:
    """Draw a data sample.

    Args:
        visualizer (Any): The visualizer. It can only write to a file.
        image (np.ndarray): RGB image, (H, W, 3).
        sample (Any): The data sample.
        **kwargs: Arguments of ``add_datasample``.

    Returns:
        np.ndarray: RGB image of ground truth and prediction, where the sample
        has them.
    """
    with TemporaryDirectory() as folder, literal_texts():
        path = os.path.join(folder, 'drawn.png')
        visualizer.add_datasample('', image, sample, out_file=path, **kwargs)
        return mmcv.imread(path, channel_order='rgb')
