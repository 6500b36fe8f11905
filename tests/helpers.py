"""Builders of tiny models, samples and configs that tests share."""

import contextlib
import copy
import importlib.util
from pathlib import Path

import cv2
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

ROOT = Path(__file__).parents[1]

TINY_ARCH = dict(
    embed_dims_outer=24,
    embed_dims_inner=6,
    num_layers=3,
    num_heads_outer=3,
    num_heads_inner=2,
    word_size=2,
)


@contextlib.contextmanager
def meta_parameters():
    """Build modules without memory for their parameters."""
    register = torch.nn.Module.register_parameter

    def register_on_meta(module, name, param):
        register(module, name, param)
        if param is not None and param.device.type != 'meta':
            module._parameters[name] = torch.nn.Parameter(
                param.to('meta'), requires_grad=param.requires_grad
            )

    torch.nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def drawn_share(path):
    """The share of the pixels of a picture that are not background."""
    image = cv2.imread(str(path))
    return float((image != image[0, 0]).any(-1).mean())


def load_tool(path: str):
    """Import a script of ``tools/`` as a module."""
    spec = importlib.util.spec_from_file_location(
        Path(path).stem + '_tool', ROOT / 'tools' / path
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_samples(scope, side, number):
    """Two images with labels of the host's kind."""
    if scope == 'mmdet':
        return demo_mm_inputs(
            2, (3, side, side), [3, 3], num_classes=number, with_mask=True
        )
    images = [
        torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in range(2)
    ]
    if scope == 'mmpretrain':
        return dict(
            inputs=images, data_samples=[DataSample().set_gt_label(i) for i in range(2)]
        )
    samples = [
        SegDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side)))
        for _ in images
    ]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, number, (1, side, side)))
    return dict(inputs=images, data_samples=samples)


VIT = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)


SWIN = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 4))


def classifier(channels, **backbone):
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling') if 'Swin' in backbone['type'] else None,
        head=dict(type='LinearClsHead', num_classes=12, in_channels=channels),
    )


def detector(path):
    cfg = get_config(f'mmdet::{path}').model
    cfg.backbone.update(depth=18, init_cfg=None)
    if 'neck' in cfg:
        cfg.neck.in_channels = [c // 4 for c in cfg.neck.in_channels]
    for part in ('encoder', 'decoder'):
        if part in cfg:
            cfg[part].num_layers = 2
    if 'bbox_head' in cfg and 'num_queries' in cfg:
        cfg.num_queries = 10  # A small image has no more.
        cfg.test_cfg.max_per_img = 10
    return cfg


def upernet():
    norm = dict(type='BN')
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
        backbone=dict(
            type='VisionTransformer',
            img_size=64,
            patch_size=16,
            embed_dims=24,
            num_layers=4,
            num_heads=3,
            out_indices=(0, 1, 2, 3),
        ),
        decode_head=dict(
            type='UPerHead',
            in_channels=[24] * 4,
            in_index=[0, 1, 2, 3],
            channels=16,
            num_classes=12,
            norm_cfg=norm,
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


# Host, config, and whether torch's attention is within.
MODELS_OF_HOSTS = {
    'DeiT': (
        'mmpretrain',
        lambda: classifier(
            24, type='VisionTransformer', arch=VIT, img_size=64, patch_size=16
        ),
        False,
    ),
    'Swin': (
        'mmpretrain',
        lambda: classifier(
            192,
            type='SwinTransformer',
            arch=SWIN,
            img_size=64,
            window_size=4,
            pad_small_map=True,
        ),
        False,
    ),
    'BEiT': (
        'mmpretrain',
        lambda: classifier(
            24,
            type='BEiTViT',
            arch=VIT,
            img_size=64,
            patch_size=16,
            out_type='avg_featmap',
        ),
        False,
    ),
    'TNT': (
        'mmpretrain',
        lambda: classifier(24, type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=64),
        False,
    ),
    'DETR': ('mmdet', lambda: detector('detr/detr_r50_8xb2-150e_coco.py'), True),
    'Deformable DETR': (
        'mmdet',
        lambda: detector('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'),
        True,
    ),
    'DINO': ('mmdet', lambda: detector('dino/dino-4scale_r50_8xb2-12e_coco.py'), True),
    'Faster R-CNN': (
        'mmdet',
        lambda: detector('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
        False,
    ),
    'UPerNet': ('mmseg', upernet, True),
}


def host_samples(host):
    if host == 'mmdet':
        return demo_mm_inputs(2, (3, 96, 96), [3, 3], num_classes=80)
    return make_samples(host, 64, 12)


def flat(output):
    """All numbers of a nested output."""
    if isinstance(output, torch.Tensor):
        return output.flatten().float()
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        parts = [flat(x) for x in output]
        return torch.cat([x for x in parts if len(x)])
    return torch.zeros(0)


D = 24


BERT = dict(
    model_type='bert',
    hidden_size=D,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
    initializer_range=0.2,
)


TNT = dict(
    type='mmvlfusion.TNT', arch=TINY_ARCH, img_size=32, patch_size=8, out_type='featmap'
)


CAPTIONS = [
    'a red circle left of a blue square',
    'two green squares',
    'a star',
    'a red star above a green circle',
]


FUSION = dict(
    type='mmvlfusion.SkipConnectedFusion',
    embed_dims=D,
    image_channels=D,
    num_heads=2,
    num_layers=2,
    stride=1,
)


OBJECTIVES = dict(
    mlm=dict(type='mmvlfusion.MaskedLanguageObjective', ratio=0.5),
    matching=dict(type='mmvlfusion.MatchingObjective'),
    contrastive=dict(type='mmvlfusion.ContrastiveObjective', feature_dims=8),
    prefix=dict(type='mmvlfusion.PrefixLanguageObjective', weight=2.0),
    mim=dict(type='mmvlfusion.MaskedImageObjective', patch_size=8),
)


def pretraining_config(tokenizer, names=tuple(OBJECTIVES), **kwargs):
    return copy.deepcopy(
        dict(
            type='mmvlfusion.VisionLanguagePretraining',
            tokenizer=str(tokenizer),
            backbone=TNT,
            text_encoder=dict(
                type='mmvlfusion.TextEncoder',
                config={
                    **BERT,
                    'hidden_dropout_prob': 0.0,
                    'attention_probs_dropout_prob': 0.0,
                },
            ),
            fusion=FUSION,
            head=dict(
                type='mmvlfusion.TextGenerationHead',
                field='caption',
                max_length=20,
                decoder={
                    **BERT,
                    'hidden_dropout_prob': 0.0,
                    'attention_probs_dropout_prob': 0.0,
                },
            ),
            objectives={name: OBJECTIVES[name] for name in names},
            max_text_length=20,
            momentum=0.9,
            queue_size=8,
        )
        | kwargs
    )


def make_pretraining(*args, **kwargs):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(pretraining_config(*args, **kwargs))
    model.init_weights()
    return model.train()


def caption_batch(captions=CAPTIONS, first_image=0):
    """An image of each caption."""
    samples, images = [], []
    for number, caption in enumerate(captions, first_image):
        generator = torch.Generator().manual_seed(number)
        images.append(torch.rand(3, 32, 32, generator=generator))
        sample = DataSample()
        sample.set_field(caption, 'gt_caption')
        sample.set_field(f'{number}', 'image_id')
        samples.append(sample)
    return dict(images=torch.stack(images), data_samples=samples)
