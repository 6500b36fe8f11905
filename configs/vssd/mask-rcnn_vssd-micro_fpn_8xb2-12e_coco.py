# Mask R-CNN with FPN on VSSD-M, COCO instance segmentation.
# Published box / mask AP: 45.4 / 41.3 (README of the authors). Not trained here.
_base_ = './mask-rcnn_vssd-tiny_fpn_8xb2-12e_coco.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vssd-micro_in1k.pth'
model = dict(
    backbone=dict(
        arch='micro', drop_path_rate=0.1, init_cfg=dict(checkpoint=checkpoint)
    ),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
