"""What mmvlfusion knows of the hosts mmpretrain, mmdet and mmseg.

One class per host; hosts are imported when they are needed.
"""

import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config

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
        """See ``Host``; models with a text encoder read a question."""
        if 'text_encoder' not in model_cfg:
            return None
        question = 'what is left of the chair?'
        return [self.sample_type(metainfo=dict(question=question))]

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """See ``Host``."""
        hook.update(enable=True, out_dir=show_dir)


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

    def draw_predictions(
        self, cfg: Config, hook: dict, show_dir: Optional[str]
    ) -> None:
        """See ``Host``."""
        hook.update(draw=True)
        if show_dir:
            cfg.visualizer.save_dir = show_dir


HOSTS: Dict[str, Host] = {host.name: host for host in (MMPretrain(), MMDet(), MMSeg())}
HEAD_NAMES = tuple(name for host in HOSTS.values() for name in host.head_names)
MAP_HEAD_NAMES = tuple(name for host in HOSTS.values() for name in host.map_head_names)


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
