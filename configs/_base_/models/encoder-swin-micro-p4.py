# A Swin of the size of the TNT of image-text-mini_tnt-micro-p8 (0.369 M parameters).
# Replaces the backbone of another config.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=48, depths=[4, 2], num_heads=[2, 4]),
        img_size=64,
        patch_size=4,
        window_size=4,
        pad_small_map=True,
        out_indices=(1,),
        stage_cfgs=[
            dict(),
            dict(block_cfgs=dict(ffn_cfgs=dict(feedforward_channels=411))),
        ],
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    )
)
