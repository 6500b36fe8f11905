# A small ALBEF for 64-pixel images: a text encoder of two layers, a fusion of two, and
# a decoder with the shape of the fusion. A config sets the type of the model by its
# task.
_base_ = './image-text-mini_tnt-micro-p8.py'

model = dict(
    tokenizer='data/shapes16k/easy/caption_tokenizer',
    max_text_length=40,
    text_encoder=dict(config=dict(max_position_embeddings=40)),
    fusion=dict(
        type='mmvlfusion.AlbefFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        init_cfg=dict(type='Normal', layer='Linear', std=0.1),
    ),
    head=dict(
        max_length=39, decoder=dict(num_hidden_layers=2, max_position_embeddings=40)
    ),
)
