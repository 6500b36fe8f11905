# What can be guessed from the questions: no image, beside JAR's mini model.
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
