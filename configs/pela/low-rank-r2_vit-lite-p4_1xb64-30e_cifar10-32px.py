# Low-rank compression of the ViT on CIFAR-10 at ratio 2, and fine-tuning without PELA's
# losses.
# No published score. Reached here: top-1 accuracy 40.7 without training, 54.1 and 55.5
# (two seeds) after fine-tuning.
# Set load_from to a dense or a low-rank checkpoint.
_base_ = './vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmpretrain.VisionTransformer',
        ratio=2.0,
        exclude='vit',
    )
)
