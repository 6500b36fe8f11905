# 36 epochs at batch 16, the schedule of Swin's authors for detectors.
_base_ = './detection_12e_adamw.py'

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0))
    )
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=1000),
    dict(type='MultiStepLR', by_epoch=True, end=36, milestones=[27, 33], gamma=0.1),
]
train_cfg = dict(max_epochs=36)
