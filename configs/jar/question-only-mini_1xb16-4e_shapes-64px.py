# The question without the image at the size of the small JAR, on questions about
# synthetic shapes: a control.
# No published score. Reached here: accuracy 37.9.
_base_ = './jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py'

model = dict(
    backbone=None,
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.TextOnlyFusion',
        embed_dims=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
    ),
)
