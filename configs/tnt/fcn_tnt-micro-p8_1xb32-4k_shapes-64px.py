# Kinds of synthetic shapes, cell by cell: the backbone that JAR's small models
# start from. Not published.
_base_ = './trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py'

data_root = 'data/shapes16k/easy/ade'
image_size = (64, 64)
crop_size = (48, 48)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch=dict(embed_dims_outer=96, num_layers=3),
        img_size=48,
        inner_blocks=(0,),
        # Linear layers of 96 channels start too small with a deviation of .02.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=96,
        in_index=0,
        channels=96,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=9,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        # Most cells are ground, which is easy to tell and teaches no shape.
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[0.3] + 8 * [1.0]),
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=image_size),
    # Crops with a shape are cheaper than scenes, and teach more.
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
# Small images load faster than a worker costs where there are two cores.
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
