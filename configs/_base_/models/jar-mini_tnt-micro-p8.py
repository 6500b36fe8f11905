# A JAR model of 1.1 M parameters for small images, on a TNT of three blocks.
_base_ = './image-text-mini_tnt-micro-p8.py'

model = dict(
    fusion=dict(
        type='mmvlfusion.JointAdaptiveFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        num_iterations=2,
        num_latents=16,
    ),
)
