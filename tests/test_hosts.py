"""Facts of the hosts that are read from configs."""

import re

import pytest
from mmengine.config import Config

from mmvlfusion.hosts import image_channels, input_shape

from .helpers import ROOT

# A config for each kind of pipeline.
CONFIGS = [
    'jar/jar-mini_resnet-micro_1xb16-40e_daquar-96x128px',
    'mplug/mplug-base_4xb256-30e_image-text-14m-256px',
    'mplug/mplug-base_vqa_8xb128-8e_msrvtt-qa-480px',
    'pela/cascade-mask-rcnn_swin-base_fpn_8xb2-36e_coco',
    'pela/pela-r2_vit-lite-p4_1xb64-30e_cifar10-32px',
    'pela/upernet_deit-base-p16_4xb4-160k_ade20k-512px',
    'tnt/fcn_tnt-micro-p8_1xb32-4k_shapes-64px',
    'tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px',
    'tnt/tnt-small-p16_8xb128-300e_in1k',
    'tnt/tnt-small-p16_8xb64-100e_cifar10-384px',
    'tnt/trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px',
]
# Sizes that the names do not give: pixels of ImageNet and of detectors on COCO.
IN1K, COCO = (224, 224), (800, 1333)


def named_shape(name):
    """Return the size in the name of a config; two numbers are height and width."""
    match = re.search(r'(\d+)(?:x(\d+))?px', name)
    if match is None:
        return IN1K if name.endswith('in1k') else COCO
    return int(match[1]), int(match[2] or match[1])


@pytest.mark.parametrize('name', CONFIGS)
def test_input_shape_is_that_of_the_name(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    assert input_shape(cfg) == named_shape(name)


def config(test=(), train=(), **preprocessor):
    def loader(pipeline):
        dataset = dict(type='RepeatDataset', dataset=dict(pipeline=list(pipeline)))
        return dict(dataset=dataset)

    return Config(
        dict(
            model=dict(),
            test_dataloader=loader(test),
            train_dataloader=loader(train),
            data_preprocessor=preprocessor,
        )
    )


@pytest.mark.parametrize(
    'cfg, shape',
    [
        (config(), None),
        (Config(dict(model=dict())), None),
        (config([dict(type='mmcv.Resize', scale=(96, 64))]), (64, 96)),
        (config([dict(type='Resize', scale=(96, 64), keep_ratio=True)]), (64, 96)),
        (
            config(
                [dict(type='Resize', scale=(96, 64), keep_ratio=True)], size=(32, 48)
            ),
            (32, 48),
        ),
        (config(train=[dict(type='RandomCrop', crop_size=(32, 48))]), (32, 48)),
    ],
)
def test_input_shape_is_height_and_width(cfg, shape):
    assert input_shape(cfg) == shape


@pytest.mark.parametrize(
    'model, channels',
    [
        (dict(backbone=dict(type='ResNet')), 3),
        (dict(backbone=dict(type='ResNet', in_channels=1)), 1),
        (dict(student=dict(backbone=dict(in_channels=4))), 4),
        (dict(backbone=dict(), data_preprocessor=dict(mean=[0.0] * 5)), 5),
        (dict(backbone=dict(), data_preprocessor=dict(mean=[127.5])), 3),
    ],
)
def test_image_channels(model, channels):
    assert image_channels(model) == channels
