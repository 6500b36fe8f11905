# A ViT of 2.7 M parameters for 32-pixel images: 16 patches.
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=192,
            num_layers=6,
            num_heads=6,
            feedforward_channels=768),
        img_size=32,
        patch_size=8,
        out_type='avg_featmap',
        drop_path_rate=0.1),
    neck=None,
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=10,
        in_channels=192,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=.02),
        loss=dict(
            type='mmpretrain.LabelSmoothLoss',
            label_smooth_val=0.1,
            mode='original'),
        topk=(1, )))
