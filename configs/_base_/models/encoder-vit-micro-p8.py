# A ViT of the size of the TNT of image-text-mini_tnt-micro-p8 (0.369 M parameters).
# Replaces the backbone of another config.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=96, num_layers=3, num_heads=4, feedforward_channels=399),
        img_size=64,
        patch_size=8,
        with_cls_token=False,
        out_type='featmap',
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    )
)
