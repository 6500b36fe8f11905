# A VSSD of 0.88 M parameters that classifies synthetic shapes at 32 pixels.
# No published score. Not trained here.
_base_ = './vision-ssd-mini-p8_1xb32-10e_shapes-32px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.VSSD',
        arch=dict(embed_dims=32, depths=(1, 2, 3), num_heads=(2, 4, 8), state_dims=32),
        ffn_ratio=3.75,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    )
)
