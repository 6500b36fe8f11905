# AdamW for small classifiers of synthetic shapes: 10 epochs.
_base_ = './classification_mini_adamw.py'

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
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
        T_max=max_epochs - 1,
        convert_to_iter_based=True,
    ),
]
# The fused optimizer saves a tenth of the time of a step on two cores.
optim_wrapper = dict(optimizer=dict(lr=1.5e-3, fused=True))
