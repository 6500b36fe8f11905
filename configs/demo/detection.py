# Demo: detection of synthetic shapes by a Faster R-CNN on a TNT, one epoch. No
# published score; see the README of configs/tnt for the longer schedule.
_base_ = '../tnt/faster-rcnn_tnt-mini-p8_fpn_1xb16-2e_shapes-128px.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=150),
]
train_cfg = dict(max_epochs=1)
