# Demo: the backbone of the demos with text, trained to label the shapes of a
# scene, 1,500 iterations. No published score.
_base_ = '../tnt/fcn_tnt-micro-p8_1xb32-4k_shapes-64px.py'

data_root = 'data/shapes64/easy/ade'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, T_max=1400),
]
train_cfg = dict(max_iters=1500)
default_hooks = dict(checkpoint=dict(interval=1500))
