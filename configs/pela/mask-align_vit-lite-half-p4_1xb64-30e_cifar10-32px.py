# MaskAlign on the ViT on CIFAR-10: a student of half the depth that starts from every
# second block of the teacher, and is aligned with it on 30 % of the patches.
# No published score. Not trained here.
# Set model.teacher_ckpt to the checkpoint of the dense model.
_base_ = './vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    _delete_=True,
    type='mmvlfusion.FeatureDistiller',
    student=dict(
        _base_.model,
        backbone=dict(
            _base_.model.backbone,
            arch=dict(
                embed_dims=64, num_layers=3, num_heads=4, feedforward_channels=128
            ),
        ),
    ),
    teacher={{_base_.model}},
    teacher_ckpt=None,
    initial_blocks='vit',
    losses=dict(
        align=dict(type='mmvlfusion.MaskAlignLoss', features='vit', in_channels=64)
    ),
)
