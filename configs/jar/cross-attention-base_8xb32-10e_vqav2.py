# Cross-attention from text to image in every layer, at the width and depth of JAR-base,
# VQA v2.
# No published score. Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.CrossAttentionFusion',
        embed_dims=768,
        image_channels=2048,
        num_heads=12,
        num_layers=32,
        drop_rate=0.1,
    )
)
