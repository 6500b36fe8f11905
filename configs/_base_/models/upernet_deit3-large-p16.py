# UPerNet on four maps of DeiT-III-L, with a head of 1024 channels.
_base_ = './upernet_deit-base-p16.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit3-large-p16_in1k.pth'
model = dict(
    backbone=dict(
        arch='large',
        layer_scale_init_value=1e-6,
        out_indices=(5, 11, 17, 23),
        drop_path_rate=0.45,
        init_cfg=dict(checkpoint=checkpoint),
    ),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
