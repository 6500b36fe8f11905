# A VisionSSD (expand 1) of the size of the TNT of image-text-mini_tnt-micro-p8.
# Replaces the backbone of another config; 0.369 M parameters.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.VisionSSD',
        arch=dict(embed_dims=96, num_layers=3, head_dims=24, state_dims=24),
        expand=1,
        ffn_ratio=4.3125,
        img_size=64,
        patch_size=8,
        with_cls_token=False,
        out_type='featmap',
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    )
)
