# The control of the TNT: a plain ViT of the same size, trained the same way.
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
