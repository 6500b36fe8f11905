# PELA on CIFAR-10. Set model.teacher_ckpt.
_base_ = './low-rank-r2_vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student={{_base_.model}},
    teacher_ckpt=None,
    features='vit',
    form='code',
)
