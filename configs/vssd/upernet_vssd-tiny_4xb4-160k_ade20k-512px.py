# UPerNet on VSSD-T, ADE20K segmentation.
# Published mIoU: 47.9 (README of the authors). Not trained here.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vssd-tiny_in1k.pth'
model = dict(
    backbone=dict(
        type='mmvlfusion.VSSD',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        out_type='featmap',
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=None,
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
