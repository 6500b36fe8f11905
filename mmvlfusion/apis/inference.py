"""Prediction of every task for an image: results, their drawing, and the time."""

import time
from functools import cached_property
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS, DefaultScope
from torch import nn

from mmvlfusion.hosts import host_of, test_dataset
from mmvlfusion.models.multimodal import (
    ImageCaptioning,
    ImageTextRetrieval,
    VisualGrounding,
    VisualQuestionAnswering,
)
from mmvlfusion.models.multimodal.attention_maps import attention_maps
from mmvlfusion.models.multimodal.base import VisionLanguageModel
from mmvlfusion.models.utils import unwrap_model
from mmvlfusion.utils.checks import check_choice, check_number
from mmvlfusion.utils.drawing import GREEN, draw_box, enlarge, overlay

from .build import build_model
from .drawing import build_visualizer, draw_sample
from .options import read_config

NUM_CLASSES_SHOWN = 5
NUM_IMAGES_SHOWN = 6
INDEXED_AT_ONCE = 32  # Images of a batch of retrieval.
# Name of the field with the text of a task, where it needs one.
TEXT_FIELDS = dict(vqa='question', grounding='text', retrieval='text')
TASK_OF_HOST = dict(mmdet='detection', mmseg='segmentation')
TASK_OF_MODEL = {
    VisualQuestionAnswering: 'vqa',
    ImageCaptioning: 'caption',
    VisualGrounding: 'grounding',
    ImageTextRetrieval: 'retrieval',
}


class Finding(NamedTuple):
    """One result of a prediction.

    Attributes:
        text (str): A class, an answer, a caption, an expression, or the name of a
            file.
        score (float, optional): Its probability; of retrieval, the matching score.
        box (list[float], optional): x1, y1, x2, y2 in pixels of the image.
        share (float, optional): Share of the pixels of the image.
    """

    text: str
    score: Optional[float] = None
    box: Optional[List[float]] = None
    share: Optional[float] = None


class Prediction(NamedTuple):
    """What a model predicts.

    Attributes:
        findings (list[Finding]): The results, the best first.
        pictures (list[np.ndarray]): The image with what is found drawn on it; of
            retrieval, the images that are found. RGB, (H, W, 3).
        seconds (float): Time from the image to the results, without drawing.
    """

    findings: List[Finding]
    pictures: List[np.ndarray]
    seconds: float


def task_of(cfg: Config, model: nn.Module) -> str:
    """Find the task of a model.

    Args:
        cfg (Config): The config.
        model (nn.Module): The model.

    Returns:
        str: A key of ``READERS``, or ``'retrieval'``.

    Raises:
        ValueError: If it has none, such as a model for pre-training.
    """
    host = host_of(cfg).name
    if host in TASK_OF_HOST:
        return TASK_OF_HOST[host]
    for kind, task in TASK_OF_MODEL.items():
        if isinstance(model, kind):
            return task
    if isinstance(model, VisionLanguageModel) or not hasattr(model, 'head'):
        raise ValueError(
            f'{type(model).__name__} has no task that predictions are shown for: '
            f'choose a config of one of {list(TASKS)}, or give task=... for a model '
            'of mmpretrain.'
        )
    return 'classification'


class Predictor:
    """A model of any task and host that predicts for single images.

    Args:
        cfg (Config): The config, whose test pipeline prepares the images.
        model (nn.Module): Its model with the weights.
        task (str, optional): One of ``TASKS``. Defaults to None, the task of the
            model. It is needed only for models of mmpretrain that have several.
        device (str, optional): Device of the model. Defaults to None, a GPU if
            there is one.

    Attributes:
        model (nn.Module): The model in evaluation mode, with its config as the
            inference functions of its host read it.
        task (str): The task.

    Raises:
        ValueError: If ``task`` is not the task of the model.
    """

    def __init__(
        self,
        cfg: Config,
        model: nn.Module,
        task: Optional[str] = None,
        device: Optional[str] = None,
    ) -> None:
        dataset_meta = getattr(model, 'dataset_meta', None) or {}
        self.model: Any = unwrap_model(model, deploy=True)
        self.model.to(device or get_device()).eval()
        if task is not None:
            check_choice('task', task, TASKS)
        is_ours = isinstance(self.model, tuple(TASK_OF_MODEL))
        if task is None or is_ours or host_of(cfg).name in TASK_OF_HOST:
            own = task_of(cfg, self.model)
            if task not in (None, own):
                raise ValueError(
                    f'task={task!r}, but the {type(self.model).__name__} is a model '
                    f'for {own!r}: omit task, or load another model.'
                )
            task = own
        self.task = task
        self.cfg = cfg
        self.host = host_of(cfg)
        self.host.attach_config(self.model, cfg)
        self.dataset_meta = dataset_meta or _dataset_meta(cfg)
        self.model.dataset_meta = self.dataset_meta
        self._index: Tuple[tuple, Dict[str, torch.Tensor]] = ((), {})

    @classmethod
    def from_files(
        cls,
        config: str,
        checkpoint: str,
        task: Optional[str] = None,
        device: Optional[str] = None,
    ) -> 'Predictor':
        """Build the model of a config file and load its weights.

        Args:
            config (str): The config file.
            checkpoint (str): The checkpoint file.
            task (str, optional): See the class.
            device (str, optional): See the class.

        Returns:
            Predictor: The predictor.
        """
        cfg = read_config(config)
        return cls(cfg, build_model(cfg, checkpoint), task, device)

    @property
    def needs_text(self) -> bool:
        """bool: Whether the task needs a text in addition to the image."""
        return self.task in TEXT_FIELDS

    @property
    def num_parameters(self) -> int:
        """int: Number of parameters of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def has_fusion(self) -> bool:
        """bool: Whether the model fuses image and text."""
        return isinstance(self.model, VisionLanguageModel)

    @property
    def device_name(self) -> str:
        """str: Name of the device of the model."""
        return str(next(self.model.parameters()).device)

    @cached_property
    def _visualizer(self) -> Any:
        return build_visualizer(self.cfg, self.dataset_meta)

    def warm_up(self) -> None:
        """Predict once, because the first prediction takes longer."""
        image = np.zeros((64, 64, 3), np.uint8)
        if self.task == 'retrieval':
            self.search('a', [image], ['blank'])
        else:
            self(image, 'a')

    def class_name(self, label: int) -> str:
        """Get the name of a class.

        Args:
            label (int): Its index.

        Returns:
            str: Its name, or ``'class 3'`` if the checkpoint has no names.
        """
        classes = self.dataset_meta.get('classes') or ()
        return str(classes[label]) if label < len(classes) else f'class {label}'

    def _fields(self, text: str) -> Dict[str, str]:
        """The fields of a sample with the text."""
        if not self.needs_text:
            return {}
        if not text.strip():
            raise ValueError(
                f'The {TEXT_FIELDS[self.task]} is empty: {self.task} needs one.'
            )
        return {TEXT_FIELDS[self.task]: text.strip()}

    @torch.no_grad()
    def predict_sample(self, image: np.ndarray, text: str = '') -> Any:
        """Predict the data sample of the host.

        Args:
            image (np.ndarray): BGR image, (H, W, 3).
            text (str): The question or expression. Defaults to ``''``.

        Returns:
            Any: The data sample.

        Raises:
            ValueError: If the task needs a text and it is empty.
        """
        fields = self._fields(text)
        with DefaultScope.overwrite_default_scope(self.host.name):
            return self.host.predict(self.model, image, **fields)

    def __call__(
        self, image: np.ndarray, text: str = '', score_thr: float = 0.5
    ) -> Prediction:
        """Predict for an image.

        Args:
            image (np.ndarray): BGR image, (H, W, 3).
            text (str): The question or expression. Defaults to ``''``.
            score_thr (float): Lowest score of a box of detection. Defaults to
                0.5.

        Returns:
            Prediction: The prediction.

        Raises:
            ValueError: If the task needs a text and it is empty, or is
                retrieval.
        """
        if self.task == 'retrieval':
            raise ValueError('Retrieval needs several images: call search.')
        check_number('score_thr', score_thr, 0, 1)
        start = time.perf_counter()
        sample = self.predict_sample(image, text)
        seconds = time.perf_counter() - start
        findings, picture = READERS[self.task](
            self, sample, np.ascontiguousarray(image[..., ::-1]), score_thr
        )
        return Prediction(findings, [picture], seconds)

    @torch.no_grad()
    def search(
        self,
        text: str,
        images: Sequence[np.ndarray],
        names: Sequence[str],
        number: int = NUM_IMAGES_SHOWN,
    ) -> Prediction:
        """Retrieve the images that a text describes.

        The features of the last images are kept, so that the next text takes
        less time.

        Args:
            text (str): The text.
            images (Sequence[np.ndarray]): BGR images, (H, W, 3).
            names (Sequence[str]): Their names.
            number (int): Number of images to return. Defaults to 6.

        Returns:
            Prediction: The best images and their matching scores.

        Raises:
            ValueError: If the text is empty or there are no images.
        """
        self._fields(text)
        if not len(images):
            raise ValueError('There are no images to retrieve from: give some.')
        key = tuple(names)
        if self._index[0] != key:
            self._index = key, self._image_features(images)
        features = self._index[1]
        start = time.perf_counter()
        texts = self.model.text_features(
            [text.strip()], features['image_feature'].device
        )
        scores = self.model.rank_images(features, texts)[0]
        seconds = time.perf_counter() - start
        best = scores.topk(min(number, len(images))).indices.tolist()
        return Prediction(
            [Finding(names[index], float(scores[index])) for index in best],
            [images[index][..., ::-1] for index in best],
            seconds,
        )

    def _image_features(self, images: Sequence[np.ndarray]) -> Dict[str, torch.Tensor]:
        """Features of the images of a retrieval."""
        parts = []
        for first in range(0, len(images), INDEXED_AT_ONCE):
            batch = self._preprocess(images[first : first + INDEXED_AT_ONCE])
            parts.append(self.model.image_features(batch))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _preprocess(self, images: Sequence[np.ndarray], **fields: Any) -> torch.Tensor:
        """Images after pipeline and data preprocessor, (B, 3, H, W)."""
        with DefaultScope.overwrite_default_scope(self.host.name):
            batch = self.host.make_batch(self.cfg, images, **fields)
        return self.model.data_preprocessor(batch, False)['images']

    def attention(
        self, image: np.ndarray, text: str = ''
    ) -> List[Tuple[str, np.ndarray]]:
        """Draw where the fusion attends to in an image.

        Args:
            image (np.ndarray): BGR image, (H, W, 3).
            text (str): The question or expression, or the caption. Defaults to
                ``''``.

        Returns:
            list[tuple[str, np.ndarray]]: Names and RGB pictures (H, W, 3): the
            mean of all maps, then each if there are several; see
            ``attention_maps``. Empty if the model has no fusion, or one without
            such attention.
        """
        if not self.has_fusion:
            return []
        field = TEXT_FIELDS.get(self.task, 'text')
        inputs = self._preprocess([image], **{field: text})
        found = attention_maps(self.model, inputs, text)
        if found is None:
            return []
        maps = found.float().cpu().numpy()
        rgb, _ = enlarge(image[..., ::-1])
        pictures = [('mean', overlay(rgb, maps.mean(axis=0)))]
        if len(maps) > 1:
            pictures += [
                (str(number), overlay(rgb, weights))
                for number, weights in enumerate(maps)
            ]
        return pictures


Reading = Tuple[List[Finding], np.ndarray]


def _read_classes(
    predictor: Predictor, sample: Any, image: np.ndarray, score_thr: float
) -> Reading:
    """The most probable classes of an image."""
    scores = sample.pred_score.flatten()
    best = scores.topk(min(NUM_CLASSES_SHOWN, len(scores)))
    findings = [
        Finding(predictor.class_name(label), score)
        for score, label in zip(best.values.tolist(), best.indices.tolist())
    ]
    return findings, image


def _read_boxes(
    predictor: Predictor, sample: Any, image: np.ndarray, score_thr: float
) -> Reading:
    """The boxes and masks above a score, drawn by the host."""
    found = sample.pred_instances.cpu()
    found = found[found.scores >= score_thr]
    found = found[found.scores.argsort(descending=True)]
    findings = [
        Finding(predictor.class_name(label), score, box)
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), found.bboxes.tolist()
        )
    ]
    larger, factor = enlarge(image)
    found.bboxes = found.bboxes * factor
    if 'masks' in found:
        found.masks = found.masks.repeat_interleave(factor, 1).repeat_interleave(
            factor, 2
        )
    sample.pred_instances = found
    picture = draw_sample(
        predictor._visualizer,
        larger,
        sample,
        draw_gt=False,
        pred_score_thr=score_thr,
    )
    return findings, picture


def _read_label_map(
    predictor: Predictor, sample: Any, image: np.ndarray, score_thr: float
) -> Reading:
    """The classes of a label map by their share of pixels, drawn by the host."""
    labels = sample.pred_sem_seg.data
    values, counts = labels.unique(return_counts=True)
    order = counts.argsort(descending=True)
    findings = [
        Finding(predictor.class_name(label), share=count / labels.numel())
        for label, count in zip(values[order].tolist(), counts[order].tolist())
    ]
    larger, factor = enlarge(image)
    labels = labels.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    sample.pred_sem_seg = type(sample.pred_sem_seg)(data=labels)
    return findings, draw_sample(predictor._visualizer, larger, sample, draw_gt=False)


def _text_reader(field: str) -> Callable[..., Reading]:
    """Make the reader of a generated text."""

    def read(
        predictor: Predictor, sample: Any, image: np.ndarray, score_thr: float
    ) -> Reading:
        finding = Finding(sample.get(field), sample.get('pred_score'))
        return [finding], enlarge(image)[0]

    return read


def _read_expression(
    predictor: Predictor, sample: Any, image: np.ndarray, score_thr: float
) -> Reading:
    """The box of an expression."""
    box = torch.as_tensor(sample.pred_bboxes).reshape(4).tolist()
    larger, factor = enlarge(image)
    draw_box(larger, [factor * side for side in box], GREEN)
    return [Finding(sample.text, sample.get('pred_score'), box)], larger


READERS: Dict[str, Callable[..., Reading]] = dict(
    classification=_read_classes,
    detection=_read_boxes,
    segmentation=_read_label_map,
    vqa=_text_reader('pred_answer'),
    caption=_text_reader('pred_caption'),
    grounding=_read_expression,
)
TASKS = (*READERS, 'retrieval')


def _dataset_meta(cfg: Config) -> dict:
    """Classes that a config or the class of its data set names."""
    dataset = test_dataset(cfg)
    with DefaultScope.overwrite_default_scope(host_of(cfg).name):
        kind = dataset['type']
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
