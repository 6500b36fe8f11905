# A Swin of 0.51 M parameters for 32-pixel images: two stages of strides 4 and 8.
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=48, depths=(2, 4), num_heads=(3, 6)),
        img_size=32,
        window_size=4,
        out_indices=(1,),
        pad_small_map=True,
        drop_path_rate=0.0,
    ),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=8,
        in_channels=96,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        loss=dict(
            type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
        topk=(1,),
    ),
)
