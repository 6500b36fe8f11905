# Concatenation of text and image in one sequence at the size of the small JAR, DAQUAR.
# No published score. Reached here: accuracy 19.3.
# The backbone comes from fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px.
_base_ = './jar-mini_resnet-micro_1xb16-40e_daquar-96x128px.py'

model = dict(
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ConcatFusion',
        embed_dims=96,
        image_channels=128,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        drop_rate=0.1,
    )
)
