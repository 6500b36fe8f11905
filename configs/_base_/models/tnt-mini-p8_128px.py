# A TNT of four blocks for dense prediction on 128-pixel images: 256 patches
# of 16 words.
model = dict(
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
        img_size=128,
        patch_size=8,
        out_type='featmap',
    )
)
