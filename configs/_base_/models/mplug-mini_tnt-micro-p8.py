# The parts of a small mPLUG for small images, on JAR's mini TNT; its tasks name
# the model.
_base_ = './jar-mini_tnt-micro-p8.py'

model = dict(
    tokenizer='data/shapes16k/easy/caption_tokenizer',
    max_text_length=40,
    text_encoder=dict(config=dict(max_position_embeddings=40)),
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.SkipConnectedFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=4,
        stride=1,
    ),
    head=dict(max_length=40, decoder=dict(max_position_embeddings=40)),
)
