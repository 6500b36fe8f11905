# Kinds of synthetic shapes in cluttered scenes, cell by cell: the backbone that
# JAR's model for such scenes starts from. Not published.
_base_ = './fcn_tnt-micro-p8_1xb32-4k_shapes-64px.py'

data_root = 'data/shapes16k/standard/ade'
crop_size = (128, 128)
model = dict(
    data_preprocessor=dict(size=crop_size), backbone=dict(img_size=128))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=crop_size),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=16, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=False,
        begin=100,
        T_max=4900)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=5000, val_interval=2500)
default_hooks = dict(checkpoint=dict(interval=2500))
auto_scale_lr = dict(enable=False, base_batch_size=16)
