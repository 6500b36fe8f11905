# ToMe on the ViT on CIFAR-10, trained further: 8 of 64 patches are merged in each
# block.
# No published score. Reached here: top-1 accuracy 47.1 without training, from a dense
# model of 46.9.
# Set load_from to the checkpoint of the dense model.
_base_ = './vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    backbone=dict(type='mmvlfusion.ToMe', module='mmpretrain.VisionTransformer', r=8)
)
