# A TNT of 0.9 M parameters for 32-pixel images: 16 patches of 16 words.
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmvlfusion.TNT',
        arch=dict(
            embed_dims_outer=128,
            embed_dims_inner=8,
            num_layers=4,
            num_heads_outer=4,
            num_heads_inner=2,
            word_size=2,
        ),
        img_size=32,
        patch_size=8,
        out_type='avg_featmap',
    ),
    neck=None,
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=10,
        in_channels=128,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        loss=dict(
            type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
        topk=(1,),
    ),
)
