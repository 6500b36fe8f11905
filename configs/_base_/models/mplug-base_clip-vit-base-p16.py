# mPLUG-base as released (arXiv 2205.12005): CLIP's ViT-B/16, a text encoder of six
# layers of BERT-B, a skip-connected fusion of six layers, and a decoder of twelve. A
# config sets the type of the model by its task. Texts end without [SEP], except in
# grounding.
bert = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/bert-base-uncased'
model = dict(
    tokenizer=bert,
    image_norm=False,
    text_end_token=False,
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=256,
        patch_size=16,
        out_type='raw',
        pre_norm=True,
        interpolate_mode='bilinear',
        norm_cfg=dict(type='LN', eps=1e-5),
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
    ),
    text_encoder=dict(
        type='mmvlfusion.TextEncoder',
        pretrained=bert,
        config=dict(model_type='bert', vocab_size=30522, num_hidden_layers=6),
    ),
    fusion=dict(
        type='mmvlfusion.SkipConnectedFusion',
        embed_dims=768,
        image_channels=768,
        project_image=False,
        num_heads=12,
        num_layers=6,
        stride=3,
        schedule='released',
        drop_rate=0.1,
    ),
    head=dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=dict(model_type='bert', vocab_size=30522, num_hidden_layers=12),
    ),
)
# CLIP's mean and standard deviation.
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)
