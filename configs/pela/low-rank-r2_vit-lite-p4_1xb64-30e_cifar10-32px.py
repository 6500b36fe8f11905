# Plain low-rank compression, or fine-tuning after it: PELA without its losses.
# Set load_from, to a dense or low-rank checkpoint.
_base_ = './vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmpretrain.VisionTransformer',
        ratio=2.0,
        exclude='vit',
    )
)
