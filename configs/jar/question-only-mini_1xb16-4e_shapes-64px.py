# What can be guessed from the questions: no image, beside JAR's mini model.
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
