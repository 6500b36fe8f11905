# VSSD-T as an ImageNet classifier (arXiv 2407.18559).
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmvlfusion.VSSD', arch='tiny', drop_path_rate=0.2),
    neck=None,
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=1000,
        in_channels=512,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        loss=dict(
            type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)
