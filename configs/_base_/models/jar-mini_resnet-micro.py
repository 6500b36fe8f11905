# A small JAR model on three stages of a narrow ResNet-18, which learns small and
# rotated shapes faster than a TNT. Its feature map has cells of 8 x 8 pixels.
_base_ = './image-text-mini_tnt-micro-p8.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet',
        depth=18,
        num_stages=3,
        stem_channels=32,
        base_channels=32,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    fusion=dict(
        type='mmvlfusion.JointAdaptiveFusion',
        embed_dims=96,
        image_channels=128,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        num_iterations=2,
        num_latents=16,
    ),
)
