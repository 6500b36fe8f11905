# A small DETR on a TNT of four blocks, for 128-pixel images and CPUs.
_base_ = './detr_tnt-small-p16.py'

attn_cfg = dict(embed_dims=128, num_heads=4, dropout=0.0, batch_first=True)
ffn_cfg = dict(
    embed_dims=128,
    feedforward_channels=512,
    num_fcs=2,
    ffn_drop=0.0,
    act_cfg=dict(type='ReLU', inplace=True),
)
model = dict(
    num_queries=20,
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims_outer=128,
            embed_dims_inner=8,
            num_layers=4,
            num_heads_outer=4,
            num_heads_inner=2,
            word_size=2,
        ),
        img_size=128,
        patch_size=8,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    neck=[
        dict(
            type='mmvlfusion.PlainFeaturePyramid',
            in_channels=[128],
            scales=[0.5],
            downsample='avg_pool',
        ),
        dict(
            type='ChannelMapper',
            in_channels=[128],
            kernel_size=1,
            out_channels=128,
            act_cfg=None,
            norm_cfg=None,
            num_outs=1,
        ),
    ],
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attn_cfg, ffn_cfg=ffn_cfg)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=attn_cfg, cross_attn_cfg=attn_cfg, ffn_cfg=ffn_cfg
        ),
    ),
    positional_encoding=dict(num_feats=64),
    bbox_head=dict(num_classes=8, embed_dims=128),
    test_cfg=dict(max_per_img=20),
)
