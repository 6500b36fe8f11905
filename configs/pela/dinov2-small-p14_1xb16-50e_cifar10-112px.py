# DINOv2 ViT-S/14 on CIFAR-10 at 112 pixels, to compare methods of compression.
# No published score. Not trained here: the classifier is fitted to the features by
# tools/analysis_tools/compression_table.py --probe.
# Set model.backbone.init_cfg.checkpoint to the file of
# tools/model_converters/dinov2_onnx.py.
_base_ = [
    '../_base_/datasets/cifar10_folders.py',
    '../_base_/schedules/classification_mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='ResizeEdge', scale=112, edge='short', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=112),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='dinov2-small',
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        init_cfg=dict(type='Pretrained', checkpoint='dinov2-small.pth'),
    ),
    neck=None,
    head=dict(type='mmpretrain.LinearClsHead', num_classes=10, in_channels=384),
)
