# The control of the TNT: a plain ViT of the same size, trained the same way.
_base_ = './tnt-mini-p8_1xb64-30e_cifar10-32px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        arch=dict(
            embed_dims=192,
            num_layers=6,
            num_heads=3,
            feedforward_channels=870),
        img_size=32,
        patch_size=8,
        drop_path_rate=0.1))
