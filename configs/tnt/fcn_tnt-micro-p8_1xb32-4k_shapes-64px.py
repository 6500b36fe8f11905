# A linear classifier of the cells of a TNT of three blocks, on synthetic shapes.
# No published score. Reached here: mIoU 70.5.
# The small JAR and mPLUG models start from its backbone.
_base_ = [
    '../_base_/models/fcn.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/segmentation_mini_adamw.py',
    '../_base_/mmseg_runtime.py',
]

data_root = 'data/shapes16k/easy/ade'
image_size = (64, 64)
crop_size = (48, 48)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        type='mmvlfusion.TNT',
        arch=dict(
            embed_dims_outer=96,
            embed_dims_inner=8,
            num_layers=3,
            num_heads_outer=4,
            num_heads_inner=2,
            word_size=2,
        ),
        img_size=48,
        patch_size=8,
        inner_blocks=(0,),
        out_type='featmap',
        # The default standard deviation of 0.02 is too small for linear layers of
        # 96 channels.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    decode_head=dict(in_channels=96, channels=96),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=image_size),
    # A crop with a shape in it costs less than the scene and trains more.
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
# Small images load faster in the main process where there are two cores.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=3900),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000))
auto_scale_lr = dict(enable=False, base_batch_size=32)
