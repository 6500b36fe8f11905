# PELA's intermediate pre-training of TNT-B at ratio 2, with DeiT-B's recipe and TNT's
# data.
# No published score. Not trained here.
# The paper does not compress a TNT.
_base_ = './pela-r2_tnt-small-p16_4xb64-50e_in1k.py'

model = dict(
    student=dict(backbone=dict(arch='base'), head=dict(in_channels=640)),
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-base-p16_in1k.pth',
)
