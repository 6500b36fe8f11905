# A linear classifier of the cells of the small Swin, on synthetic shapes: full
# fine-tuning.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/fcn.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/segmentation_mini_adamw.py',
    '../_base_/mmseg_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-mini_shapes.pth'
image_size = (64, 64)
model = dict(
    data_preprocessor=dict(size=image_size),
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=48, depths=(2, 4), num_heads=(3, 6)),
        img_size=64,
        window_size=4,
        out_indices=(1,),
        pad_small_map=True,
        drop_path_rate=0.0,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(in_channels=96, channels=96),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=image_size),
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
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        T_max=4,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=4)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True), checkpoint=dict(by_epoch=True, interval=1)
)
log_processor = dict(by_epoch=True)
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
