# Demo: classification of synthetic shapes by a TNT of 0.9 M parameters, nine
# epochs. No published score. Reached here: 83.2 % (README).
_base_ = '../tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py'

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
        T_max=8,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=9, val_interval=5)
