# No published score: nobody has compressed a TNT this way. Not trained here.
_base_ = './pela-r2_tnt-small-p16_4xb64-50e_in1k.py'

model = dict(
    student=dict(backbone=dict(arch='base'), head=dict(in_channels=640)),
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-base-p16_in1k.pth',
)
