# JAR with 4 iterations, 32 layers and 64 latents (arXiv 2305.19924) on ResNet-50. The
# paper does not state the text encoder and decoder: here they are the first layers of
# BERT-B, and their number gives about the published 350 M parameters.
bert = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/bert-base-uncased'
model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    tokenizer=bert,
    share_embeddings=True,
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        num_stages=4,
        strides=(1, 2, 2, 1),  # 14 x 14 cells, as in the paper's example.
        dilations=(1, 1, 1, 2),
        out_indices=(3,),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    text_encoder=dict(
        type='mmvlfusion.TextEncoder',
        pretrained=bert,
        config=dict(model_type='bert', vocab_size=30522, num_hidden_layers=3),
    ),
    fusion=dict(
        type='mmvlfusion.JointAdaptiveFusion',
        embed_dims=768,
        image_channels=2048,
        num_heads=12,
        num_layers=32,
        num_iterations=4,
        num_latents=64,
        drop_rate=0.1,
    ),
    head=dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=dict(
            model_type='bert',
            vocab_size=30522,
            num_hidden_layers=2,
            max_position_embeddings=32,
        ),
    ),
)
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
