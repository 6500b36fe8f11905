# A plain ViT that classifies synthetic shapes at 32 pixels, of the size and schedule
# of the small VisionSSD: its control.
# No published score. Not trained here.
_base_ = './vision-ssd-mini-p8_1xb32-10e_shapes-32px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=573),
        img_size=32,
        patch_size=8,
        out_type='avg_featmap',
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    )
)
