# Demo: segmentation of synthetic shapes by a Trans2Seg on a TNT, 1,000
# iterations. No published score; see the README of configs/tnt for the longer
# schedule.
_base_ = '../tnt/trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=900),
]
train_cfg = dict(max_iters=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
