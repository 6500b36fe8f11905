# A linear classifier of the cells of a narrow ResNet-18, on cluttered synthetic shapes.
# No published score. Reached here: mIoU 72.9.
# The small JAR models for such scenes and for photographs start from its backbone.
_base_ = [
    '../_base_/models/fcn.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/segmentation_mini_adamw.py',
    '../_base_/mmseg_runtime.py',
]

data_root = 'data/shapes16k/standard/ade'
image_size = (128, 128)
crop_size = (64, 64)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        num_stages=3,
        stem_channels=32,
        base_channels=32,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    decode_head=dict(in_channels=128, channels=128),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=image_size),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.85),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=2400),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2500, val_interval=2500)
default_hooks = dict(checkpoint=dict(interval=2500))
auto_scale_lr = dict(enable=False, base_batch_size=32)
