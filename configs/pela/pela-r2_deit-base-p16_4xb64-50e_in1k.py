# PELA's intermediate pre-training of DeiT-B at ratio 2.
# Published top-1 accuracy: 81.0 (Table 1); dense model 81.8. Not trained here.
# The released script does not use L_rwp: set model.perturbation_weight=0 for that.
_base_ = [
    '../_base_/models/low-rank-r2_deit-base-p16.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/pela_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student={{_base_.model}},
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-base-p16_in1k.pth',
    features='vit',
    form='code',
)

train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
