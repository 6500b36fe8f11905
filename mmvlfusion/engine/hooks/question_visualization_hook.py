"""Visualisation of questions and answers in validation and testing."""

import os.path as osp
from typing import Any, Optional, Sequence

import matplotlib
import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmvlfusion.registry import HOOKS
from mmvlfusion.utils.drawing import escape_math


@HOOKS.register_module()
class QuestionVisualizationHook(Hook):
    """Draw questions and predicted answers on their images.

    The arguments are those of mmpretrain's ``VisualizationHook``, which draws
    classes.

    Args:
        enable (bool): Whether to draw at all. Defaults to False.
        interval (int): Every n-th question is drawn. Defaults to 5000.
        show (bool): Whether to open a window. Defaults to False.
        out_dir (str, optional): Folder of the drawn images. Defaults to None,
            which sends them to the visualizer's backends.
        **kwargs: Arguments of ``UniversalVisualizer.visualize_vqa``.
    """

    def __init__(
        self,
        enable: bool = False,
        interval: int = 5000,
        show: bool = False,
        out_dir: Optional[str] = None,
        **kwargs,
    ) -> None:
        self.enable = enable
        self.interval = interval
        self.out_dir = out_dir
        self.draw_args = dict(kwargs, show=show)
        self._seen = 0

    def before_val(self, runner: Runner) -> None:
        """Reset the count of the questions.

        Args:
            runner (Runner): The runner.
        """
        self._seen = 0

    before_test = before_val

    def _draw(self, samples: Sequence[Any], step: int) -> None:
        """Draw every n-th question."""
        if not self.enable:
            return
        first = -self._seen % self.interval
        self._seen += len(samples)
        for sample in samples[first :: self.interval]:
            path = sample.get('img_path')
            # The images of some data sets are in memory, without a path.
            if path is None:
                continue
            name = f'{osp.basename(path)}_{sample.get("question_id")}'
            args = dict(self.draw_args)
            if self.out_dir is not None:
                args['out_file'] = osp.join(self.out_dir, f'{name}_{step}.png')
            drawn = type(sample)(
                metainfo={
                    field: escape_math(str(sample.get(field)))
                    for field in ('question', 'pred_answer')
                }
            )
            # The host wraps the text, so ``literal_texts`` is not sufficient.
            with matplotlib.rc_context({'text.parse_math': True}):
                Visualizer.get_current_instance().visualize_vqa(
                    _load_image(path), drawn, name=name, step=step, **args
                )

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Sequence[Any]
    ) -> None:
        """Draw questions of a validation batch.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (Sequence): The data samples with predictions.
        """
        self._draw(outputs, runner.epoch)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Sequence[Any]
    ) -> None:
        """Draw questions of a test batch.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (Sequence): The data samples with predictions.
        """
        self._draw(outputs, 0)


def _load_image(path: str) -> np.ndarray:
    """Load an image, or the first frame of a video; RGB."""
    image = mmcv.imread(path)
    if image is None:
        image = mmcv.VideoReader(path)[0]
    return mmcv.bgr2rgb(image)
