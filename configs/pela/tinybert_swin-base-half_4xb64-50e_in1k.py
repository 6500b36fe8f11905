# TinyBERT as compressor of Swin-B: a student with depths of 1, 1, 13 and 1.
# Published top-1 accuracy: 78.8 (PELA, Table 1); dense model 83.5. Not trained here.
# The published student is of the same size; its depth, losses and schedule are not
# published. Here they are one stage with the recipe of PELA.
_base_ = './pela-r1.5_swin-base_4xb64-50e_in1k.py'

model = dict(
    _delete_=True,
    type='mmvlfusion.FeatureDistiller',
    student=dict(
        _base_.model.student,
        backbone=dict(
            type='SwinTransformer',
            arch=dict(embed_dims=128, depths=[1, 1, 13, 1], num_heads=[4, 8, 16, 32]),
            img_size=224,
            drop_path_rate=0.5,
        ),
    ),
    teacher=dict(
        _base_.model.student,
        backbone=dict(type='SwinTransformer', arch='base', img_size=224),
    ),
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-base_in1k.pth',
    initial_blocks='swin',
    losses=dict(
        hidden=dict(type='mmvlfusion.HiddenStateLoss', features='swin'),
        attention=dict(type='mmvlfusion.AttentionScoreLoss', features='swin'),
        prediction=dict(type='mmvlfusion.PredictionLoss'),
    ),
)
