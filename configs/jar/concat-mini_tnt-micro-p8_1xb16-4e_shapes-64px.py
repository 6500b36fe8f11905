# Concatenation of text and image in one sequence, at the size of the small JAR, on
# questions about synthetic shapes.
# No published score. Reached here: accuracy 92.0.
# The backbone comes from fcn_tnt-micro-p8_1xb32-4k_shapes-64px.
_base_ = './jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ConcatFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
    )
)
