# Mask R-CNN with FPN on VSSD-S, COCO instance segmentation.
# Published box / mask AP: 48.4 / 43.5 (README of the authors). Not trained here.
_base_ = './mask-rcnn_vssd-tiny_fpn_8xb2-12e_coco.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vssd-small_in1k.pth'
model = dict(
    backbone=dict(
        arch='small', drop_path_rate=0.4, init_cfg=dict(checkpoint=checkpoint)
    ),
)
