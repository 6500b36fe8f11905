# A TNT of 2.9 M parameters for 32-pixel images: 16 patches of 16 words.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmvlfusion.TNT',
        arch=dict(
            embed_dims_outer=192,
            embed_dims_inner=12,
            num_layers=6,
            num_heads_outer=3,
            num_heads_inner=2,
            word_size=2),
        img_size=32,
        patch_size=8,
        drop_path_rate=0.1),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=192,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=.02),
        loss=dict(
            type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        topk=(1, )))
