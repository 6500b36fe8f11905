# The text attends to the image in every layer, beside JAR's mini model.
_base_ = './jar-mini_tnt-mini-p8_1xb16-3e_shapes-64px.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.CrossAttentionFusion',
        embed_dims=128,
        image_channels=128,
        num_heads=8,
        ffn_ratio=2.,
        num_layers=2))
