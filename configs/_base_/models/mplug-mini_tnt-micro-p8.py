# A small mPLUG for 64-pixel images. A config sets the type of the model by its task.
_base_ = './image-text-mini_tnt-micro-p8.py'

model = dict(
    tokenizer='data/shapes16k/easy/caption_tokenizer',
    max_text_length=40,
    text_encoder=dict(config=dict(max_position_embeddings=40)),
    fusion=dict(
        type='mmvlfusion.SkipConnectedFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=4,
        stride=1,
    ),
    head=dict(max_length=39, decoder=dict(max_position_embeddings=40)),
)
