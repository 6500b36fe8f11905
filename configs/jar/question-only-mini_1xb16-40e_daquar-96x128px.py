# The question without the image at the size of the small JAR, DAQUAR: a control.
# No published score. Reached here: accuracy 21.1.
_base_ = './jar-mini_resnet-micro_1xb16-40e_daquar-96x128px.py'

model = dict(
    backbone=None,
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.TextOnlyFusion',
        embed_dims=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        drop_rate=0.1,
    ),
)
