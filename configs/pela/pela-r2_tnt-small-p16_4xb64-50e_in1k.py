# PELA's intermediate pre-training of TNT-S at ratio 2, with DeiT-B's recipe and TNT's
# data.
# No published score. Not trained here.
# The paper does not compress a TNT.
_base_ = [
    '../_base_/models/low-rank-r2_tnt-small-p16.py',
    '../_base_/datasets/imagenet_tnt.py',
    '../_base_/schedules/pela_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student={{_base_.model}},
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth',
    features='tnt',
    form='code',
)

train_dataloader = dict(batch_size=64)
