# UPerNet on VSSD-M, ADE20K segmentation.
# Published mIoU: 45.6 (README of the authors). Not trained here.
_base_ = './upernet_vssd-tiny_4xb4-160k_ade20k-512px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vssd-micro_in1k.pth'
model = dict(
    backbone=dict(
        arch='micro', drop_path_rate=0.1, init_cfg=dict(checkpoint=checkpoint)
    ),
    decode_head=dict(in_channels=[48, 96, 192, 384]),
    auxiliary_head=dict(in_channels=192),
)
