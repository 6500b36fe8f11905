# DETR on the feature map of TNT-S, pooled to stride 32 (arXiv 2103.00112, section
# 3.5).
_base_ = './detr_r50.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.TNT',
        arch='small',
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=[
        dict(
            type='mmvlfusion.PlainFeaturePyramid',
            in_channels=[384],
            scales=[0.5],
            downsample='avg_pool',
        ),
        dict(
            type='ChannelMapper',
            in_channels=[384],
            kernel_size=1,
            out_channels=256,
            act_cfg=None,
            norm_cfg=None,
            num_outs=1,
        ),
    ],
)
