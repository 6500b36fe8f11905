# VSSD-T on ImageNet-1k.
# Published top-1 accuracy: 83.6 (README of the authors); 84.1 with MESA, which is not
# part of this recipe. Not trained here.
_base_ = [
    '../_base_/models/vssd-tiny.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/imagenet_300e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        end=20,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=20,
        convert_to_iter_based=True,
    ),
]
custom_hooks = [dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL')]
