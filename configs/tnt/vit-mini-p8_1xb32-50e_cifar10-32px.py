# A plain ViT on CIFAR-10, of the size and schedule of the small TNT: its control.
# No published score. Reached here, from 500 training images a class: top-1 accuracy
# 49.8.
_base_ = './tnt-mini-p8_1xb32-50e_cifar10-32px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=573),
        img_size=32,
        patch_size=8,
        out_type='avg_featmap',
    )
)
