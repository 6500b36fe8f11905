"""What mmvlfusion knows of the hosts mmpretrain, mmdet and mmseg.

One class per host; hosts are imported when they are needed.
"""

import os.path as osp
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from torch import nn

from mmvlfusion.utils.checks import require

# A name of our metafiles.
_FIRST_MODEL = 'tnt-tiny-p16_8xb128-300e_in1k'


class Host:
    """A library of OpenMMLab whose configs mmvlfusion runs.

    Attributes:
        name (str): Its name, which is the ``default_scope`` of its configs.
        head_names (tuple[str, ...]): Names of the modules of its models that
            have a number of classes. Other heads, such as the RPN, have one
            class.
        map_head_names (tuple[str, ...]): Names of the heads that select feature
            maps by ``in_index``.
        loader_defaults (dict): Settings that its scripts add to data loaders.
        tta_model (dict): Config of its model for test-time augmentation.
        dump_metric (str): Type of the metric that writes predictions.
        writes_label_maps (bool): Whether predictions are written as images
            into a folder.
    """

    name: str
    head_names: Tuple[str, ...]
    map_head_names: Tuple[str, ...] = ()
    loader_defaults: Dict[str, Any] = {}
    tta_model: Dict[str, Any]
    dump_metric = 'mmengine.DumpResults'
    writes_label_maps = False

    @property
    def sample_type(self) -> type:
        """type: Class of its data samples."""
        raise NotImplementedError

    def example_samples(
        self, shape: Sequence[int], model_cfg: dict
    ) -> Optional[List[Any]]:
        """Make the data samples that a forward pass in tensor mode needs.

        Args:
            shape (Sequence[int]): Height and width of the image in pixels.
            model_cfg (dict): Config of the model.

        Returns:
            list | None: One sample, or None if none is needed.
        """
        return None

    def tta_meta(self, packing: dict) -> dict:
        """Extend the packing step of a pipeline for flipped images.

        Args:
            packing (dict): Config of the step.

        Returns:
            dict: The config.
        """
        return packing

    def can_export(self, model: Any) -> bool:
        """Check whether a model computes logits from images only.

        Args:
            model (nn.Module): The model.

        Returns:
            bool: Whether it does.
        """
        return False

    def image_logits(self, model: Any, images: Any) -> Any:
        """Compute the logits of a model that ``can_export`` accepts.

        Args:
            model (nn.Module): The model.
            images (torch.Tensor): Normalised images, (B, C, H, W).

        Returns:
            torch.Tensor: Shape (B, classes), or (B, classes, H, W).
        """
        raise NotImplementedError

    def replace_logits(self, model: Any, logits: Callable) -> None:
        """Make a model predict from logits that another function computes.

        Args:
            model (nn.Module): The model, which is changed.
            logits (Callable): Replaces ``image_logits`` of the model.
        """
        raise NotImplementedError

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """Make the visualization hook draw predictions.

        Args:
            cfg (Config): The config, which is changed.
            hook (dict): Config of the hook, which is changed.
            show_dir (str, optional): Folder of the pictures.
        """
        raise NotImplementedError

    def attach_config(self, model: nn.Module, cfg: Config) -> None:
        """Store the config where the inference functions of the host read it.

        Args:
            model (nn.Module): The model.
            cfg (Config): The config.
        """
        model.cfg = cfg

    def make_batch(
        self, cfg: Config, images: Sequence[np.ndarray], **fields: Any
    ) -> Dict[str, Any]:
        """Preprocess images by the test pipeline, for models of images and texts.

        Args:
            cfg (Config): The config.
            images (Sequence[np.ndarray]): BGR images, (H, W, 3).
            **fields: Further fields of each sample, such as ``question``.

        Returns:
            dict: The batch, for ``test_step`` of the model.
        """
        raise NotImplementedError

    def predict(self, model: nn.Module, image: np.ndarray, **fields: Any) -> Any:
        """Predict for an image.

        Args:
            model (nn.Module): The model, after ``attach_config``.
            image (np.ndarray): BGR image, (H, W, 3).
            **fields: Further fields of the sample, such as ``question``.

        Returns:
            Any: The data sample of the host.
        """
        raise NotImplementedError


class MMPretrain(Host):
    """mmpretrain: classification, and all models of images and texts."""

    name = 'mmpretrain'
    head_names = ('head',)
    loader_defaults = dict(
        pin_memory=True,
        persistent_workers=True,
        collate_fn=dict(type='default_collate'),
    )
    tta_model = dict(type='mmpretrain.AverageClsScoreTTA')

    @property
    def sample_type(self) -> type:
        """type: ``mmpretrain.structures.DataSample``."""
        return require('mmpretrain.structures').DataSample

    def register_models(self) -> None:
        """Make ``list_models`` and ``get_model`` find our models by name.

        It may be called several times. No weights are released, so that
        ``pretrained=True`` warns and leaves the weights random.
        """
        hub = require('mmpretrain.apis').ModelHub
        root = osp.join(osp.dirname(osp.abspath(__file__)), '.mim')
        if not hub.has(_FIRST_MODEL):
            hub.register_model_index(osp.join(root, 'model-index.yml'), root)

    def example_samples(
        self, shape: Sequence[int], model_cfg: dict
    ) -> Optional[List[Any]]:
        """See ``Host``; models with a text encoder read a question or a text."""
        if 'text_encoder' not in model_cfg:
            return None
        text = 'what is left of the chair?'
        return [self.sample_type(metainfo=dict(question=text, text=text))]

    def can_export(self, model: Any) -> bool:
        """See ``Host``; classifiers can."""
        return isinstance(model, require('mmpretrain.models').ImageClassifier)

    def image_logits(self, model: Any, images: Any) -> Any:
        """See ``Host``."""
        return model(images, mode='tensor')

    def replace_logits(self, model: Any, logits: Callable) -> None:
        """See ``Host``; the head only converts the logits to predictions."""
        model.extract_feat = logits
        model.head.forward = lambda features: features

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """See ``Host``."""
        hook.update(enable=True, out_dir=show_dir)

    def attach_config(self, model: nn.Module, cfg: Config) -> None:
        """See ``Host``."""
        model.cfg = model._config = cfg

    def make_batch(
        self, cfg: Config, images: Sequence[np.ndarray], **fields: Any
    ) -> Dict[str, Any]:
        """See ``Host``."""
        remove = require('mmpretrain.datasets').remove_transform
        steps = test_dataset(cfg)['pipeline']
        pipeline = Compose(remove(steps, 'LoadImageFromFile'))
        samples = []
        for image in images:
            shape = image.shape[:2]
            sample = dict(img=image, img_shape=shape, ori_shape=shape, **fields)
            samples.append(pipeline(sample))
        return default_collate(samples)

    def predict(self, model: nn.Module, image: np.ndarray, **fields: Any) -> Any:
        """See ``Host``."""
        return model.test_step(self.make_batch(model.cfg, [image], **fields))[0]


class MMDet(Host):
    """mmdet: detection."""

    name = 'mmdet'
    head_names = ('bbox_head', 'roi_head.bbox_head', 'roi_head.mask_head')
    # The registry of this type differs among releases.
    tta_model = dict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    )
    dump_metric = 'mmdet.DumpDetResults'
    meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')

    @property
    def sample_type(self) -> type:
        """type: ``mmdet.structures.DetDataSample``."""
        return require('mmdet.structures').DetDataSample

    def example_samples(
        self, shape: Sequence[int], model_cfg: dict
    ) -> Optional[List[Any]]:
        """See ``Host``; detectors read the shapes of the image."""
        meta = dict.fromkeys(
            ['img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'], tuple(shape)
        )
        return [self.sample_type(metainfo=dict(meta, scale_factor=(1.0, 1.0)))]

    def tta_meta(self, packing: dict) -> dict:
        """See ``Host``; the TTA model reads whether an image was flipped."""
        keys = packing.get('meta_keys', self.meta_keys)
        return dict(packing, meta_keys=(*keys, 'flip', 'flip_direction'))

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """See ``Host``."""
        hook.update(draw=True, test_out_dir=show_dir)

    def predict(self, model: nn.Module, image: np.ndarray, **fields: Any) -> Any:
        """See ``Host``."""
        return require('mmdet.apis').inference_detector(model, image)


class MMSeg(Host):
    """mmseg: segmentation."""

    name = 'mmseg'
    head_names = ('decode_head', 'auxiliary_head')
    map_head_names = ('decode_head', 'auxiliary_head')
    tta_model = dict(type='mmseg.SegTTAModel')
    writes_label_maps = True

    @property
    def sample_type(self) -> type:
        """type: ``mmseg.structures.SegDataSample``."""
        return require('mmseg.structures').SegDataSample

    def can_export(self, model: Any) -> bool:
        """See ``Host``; models with an encoder and a decode head can."""
        return isinstance(model, require('mmseg.models').EncoderDecoder)

    def image_logits(self, model: Any, images: Any) -> Any:
        """See ``Host``; the logits have the size of the images."""
        logits = model(images, mode='tensor')
        return require('torch').nn.functional.interpolate(
            logits,
            size=images.shape[2:],
            mode='bilinear',
            align_corners=model.align_corners,
        )

    def replace_logits(self, model: Any, logits: Callable) -> None:
        """See ``Host``."""
        model.encode_decode = lambda images, metas: logits(images)

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """See ``Host``."""
        hook.update(draw=True)
        if show_dir:
            cfg.visualizer.save_dir = show_dir

    def attach_config(self, model: nn.Module, cfg: Config) -> None:
        """See ``Host``; mmseg reads the pipeline at the top level, and changes
        it."""
        cfg = cfg.copy()
        cfg.test_pipeline = test_dataset(cfg)['pipeline']
        model.cfg = cfg

    def predict(self, model: nn.Module, image: np.ndarray, **fields: Any) -> Any:
        """See ``Host``."""
        return require('mmseg.apis').inference_model(model, image)


HOSTS: Dict[str, Host] = {host.name: host for host in (MMPretrain(), MMDet(), MMSeg())}
HEAD_NAMES = tuple(name for host in HOSTS.values() for name in host.head_names)
MAP_HEAD_NAMES = tuple(name for host in HOSTS.values() for name in host.map_head_names)
# Steps of a pipeline that set the size of the image, the argument with that size,
# and whether it is given as (width, height).
SIZE_STEPS = dict(
    CenterCrop=('crop_size', True),
    EfficientNetCenterCrop=('crop_size', False),
    EfficientNetRandomCrop=('scale', False),
    LoadVideoFrames=('size', False),
    RandomCrop=('crop_size', False),
    RandomResizedCrop=('scale', False),
    Resize=('scale', True),
)

# Transformer blocks with x + attention(norm1(x)), then ffn(norm2(x), identity=x), by
# the class that defines their forward pass, and how they call the attention: with the
# size of the map, with the tokens only, or with the residual as ``identity``.
_RESIDUAL_BLOCKS = {
    'mmpretrain.models.backbones.swin_transformer.SwinBlock': 'map',
    'mmdet.models.backbones.swin.SwinBlock': 'map',
    'mmseg.models.backbones.swin.SwinBlock': 'map',
    'mmpretrain.models.backbones.vision_transformer.TransformerEncoderLayer': 'tokens',
    'mmseg.models.backbones.vit.TransformerEncoderLayer': 'identity',
}


def residual_block_kind(module: Any) -> Optional[str]:
    """Find out how a transformer block of a host calls its attention.

    Args:
        module (Any): The module.

    Returns:
        str | None: ``'map'``, ``'tokens'`` or ``'identity'``, or None if it is not
        such a block.
    """
    for kind in type(module).__mro__:
        if 'forward' in vars(kind):
            return _RESIDUAL_BLOCKS.get(f'{kind.__module__}.{kind.__qualname__}')
    return None


def host_of(cfg: Config) -> Host:
    """Find the host of a config.

    Args:
        cfg (Config): The config.

    Returns:
        Host: The host.

    Raises:
        ValueError: If ``default_scope`` is not the name of a host.
    """
    name = cfg.get('default_scope')
    if name not in HOSTS:
        raise ValueError(
            f'default_scope={name!r} is not one of {list(HOSTS)}: set it to '
            'the host of the config.'
        )
    return HOSTS[name]


def input_shape(cfg: Config) -> Optional[Tuple[int, int]]:
    """Find the size of the images that a model of a config reads.

    It is the size to which the test pipeline resizes or crops, otherwise that
    of the data preprocessor, otherwise that of the training pipeline. Where the
    test pipeline keeps the aspect ratio, it is the largest size, as for
    detectors on COCO, unless one of the others is fixed.

    Args:
        cfg (Config): The config.

    Returns:
        tuple[int, int] | None: Height and width in pixels, or None if the
        config does not fix them.
    """
    model = cfg.get('model', {})
    preprocessor = cfg.get('data_preprocessor') or model.get('data_preprocessor')
    testing = list(_sizes(cfg.get('test_dataloader')))
    training = list(_sizes(cfg.get('train_dataloader')))
    fixed = (preprocessor or {}).get('size')
    candidates = [
        *[size for size, is_fixed in testing[-1:] if is_fixed],
        *([_pair(fixed)] if fixed else []),
        *[size for size, is_fixed in training[-1:] if is_fixed],
        *[size for size, _ in testing[-1:]],
    ]
    return candidates[0] if candidates else None


def test_dataset(cfg: Config) -> dict:
    """Find the test set of a config within its wrappers.

    Args:
        cfg (Config): The config.

    Returns:
        dict: Config of the first data set that has a pipeline.

    Raises:
        ValueError: If there is none.
    """
    dataset = _first_dataset(cfg.get('test_dataloader') or dict(dataset={}))
    if dataset is None:
        raise ValueError(
            'The config has no test_dataloader.dataset with a pipeline: set it, since '
            'images are prepared by its steps.'
        )
    return dataset


def _first_dataset(loader: dict) -> Optional[dict]:
    """The first data set of a loader that has a pipeline, within its wrappers."""
    dataset = loader['dataset']
    while 'pipeline' not in dataset:
        parts = dataset.get('datasets') or [dataset.get('dataset')]
        if parts[0] is None:
            return None
        dataset = parts[0]
    return dataset


def _pair(size: Any) -> Tuple[int, int]:
    """Height and width of a size that may be one number for both."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _sizes(loader: Optional[dict]) -> Iterator[Tuple[Tuple[int, int], bool]]:
    """Height and width after the steps of a pipeline, and whether they are fixed."""
    if loader is None:
        return
    for step in (_first_dataset(loader) or dict(pipeline=()))['pipeline']:
        name = step['type']
        name = name.split('.')[-1] if isinstance(name, str) else name.__name__
        key, is_width_first = SIZE_STEPS.get(name, ('', False))
        if step.get(key) is not None:
            height, width = _pair(step[key])
            if is_width_first:
                height, width = width, height
            yield (height, width), not step.get('keep_ratio', False)


def operator_without_bfloat16(model: nn.Module) -> Optional[str]:
    """Find a compiled operator of mmcv. They have no bfloat16 on GPUs.

    Args:
        model (nn.Module): The model.

    Returns:
        str | None: The class of the first module that runs one, such as
        ``'RoIAlign'``, or None if there is none.
    """
    for module in model.modules():
        if type(module).__module__.startswith('mmcv.ops.'):
            return type(module).__name__
    return None


def image_channels(model_cfg: dict) -> int:
    """Find the number of channels of the images that a model reads.

    Args:
        model_cfg (dict): Config of the model.

    Returns:
        int: ``in_channels`` of the backbone, otherwise the number of means of
        the data preprocessor if it has several, otherwise 3.
    """
    for part in (model_cfg, model_cfg.get('student'), model_cfg.get('module')):
        if not isinstance(part, dict):
            continue
        if 'in_channels' in part.get('backbone', {}):
            return part['backbone']['in_channels']
        mean = (part.get('data_preprocessor') or {}).get('mean') or ()
        if len(mean) > 1:
            return len(mean)
    return 3
