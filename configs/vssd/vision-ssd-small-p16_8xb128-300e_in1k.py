# VisionSSD-S on ImageNet-1k: DeiT-S with state-space duality, expand 2.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/vision-ssd-small-p16.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/imagenet_300e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    clip_grad=dict(max_norm=5.0),
)
