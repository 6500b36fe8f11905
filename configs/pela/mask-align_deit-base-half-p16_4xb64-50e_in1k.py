# MaskAlign as compressor of DeiT-B: a student of 6 blocks that starts from every second
# one of the teacher.
# Published top-1 accuracy: 78.2 (PELA, Table 1); dense model 81.8. Not trained here.
# The published student is of the same size; its depth, losses and schedule are not
# published. Here they are one stage with the recipe of PELA.
_base_ = './pela-r2_deit-base-p16_4xb64-50e_in1k.py'

model = dict(
    _delete_=True,
    type='mmvlfusion.FeatureDistiller',
    student=dict(
        _base_.model.student,
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=768, num_layers=6, num_heads=12, feedforward_channels=3072
            ),
            img_size=224,
            patch_size=16,
            drop_path_rate=0.1,
        ),
    ),
    teacher=dict(
        _base_.model.student,
        backbone=dict(
            type='VisionTransformer', arch='deit-base', img_size=224, patch_size=16
        ),
    ),
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-base-p16_in1k.pth',
    initial_blocks='vit',
    losses=dict(
        align=dict(type='mmvlfusion.MaskAlignLoss', features='vit', in_channels=768)
    ),
)
