# Further training of the dense model: the control of the compressed ones. Set
# load_from.
_base_ = './vit-lite-p4_1xb64-80e_cifar10-32px.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
max_epochs = 30
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
        eta_min=1e-6,
        by_epoch=True,
        begin=1,
        T_max=max_epochs - 1,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
