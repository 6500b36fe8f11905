# A small DETR on a TNT of four blocks that overfits eight images of synthetic shapes.
# No published score. Reached here on those eight images: box AP50 100.0.
_base_ = [
    '../_base_/models/detr_tnt-mini-p8_128px.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/mmdet_runtime.py',
]

# Both training and testing see the first eight images, unaugmented.
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        indices=8,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(128, 128), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        indices=8,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(128, 128), keep_ratio=True),
            dict(
                type='PackDetInputs',
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                    'instances',
                ),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
# Without a file, the metric reads the ground truth from the samples.
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=50),
    dict(type='MultiStepLR', by_epoch=False, milestones=[800], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=500),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
