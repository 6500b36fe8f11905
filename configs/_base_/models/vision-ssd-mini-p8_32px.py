# A VisionSSD of 0.9 M parameters for 32-pixel images: 16 patches.
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmvlfusion.VisionSSD',
        arch=dict(embed_dims=128, num_layers=4, head_dims=32, state_dims=32),
        expand=2,
        ffn_ratio=3.109375,
        img_size=32,
        patch_size=8,
        with_cls_token=False,
        out_type='avg_featmap',
        # The default standard deviation of 0.02 is too small for linear layers of
        # 128 channels.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    neck=None,
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=8,
        in_channels=128,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        loss=dict(
            type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
        topk=(1,),
    ),
)
