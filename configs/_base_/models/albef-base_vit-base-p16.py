# ALBEF as released (arXiv 2107.07651): DeiT's ViT-B/16, the lower six layers of BERT-B
# as text encoder, and its upper six layers with cross-attention as fusion. A config
# sets the type of the model, and its objectives or head, by the task. Texts end
# without [SEP].
bert = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/bert-base-uncased'
model = dict(
    tokenizer=bert,
    image_norm=False,
    text_end_token=False,
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='deit-base',
        img_size=384,
        patch_size=16,
        out_type='raw',
    ),
    text_encoder=dict(
        type='mmvlfusion.TextEncoder',
        pretrained=bert,
        config=dict(model_type='bert', vocab_size=30522, num_hidden_layers=6),
    ),
    fusion=dict(
        type='mmvlfusion.AlbefFusion',
        embed_dims=768,
        image_channels=768,
        num_heads=12,
        num_layers=6,
        drop_rate=0.1,
    ),
)
# CLIP's mean and standard deviation.
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)
