# Faster R-CNN with FPN on VisionSSD-S with expand 1, COCO detection,
# with the head and recipe of TNT-S.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/faster-rcnn_tnt-small-p16_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/detection_12e_adamw.py',
    '../_base_/mmdet_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vision-ssd-small-e1-p16_in1k.pth'
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.VisionSSD',
        arch='small',
        expand=1,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
)
