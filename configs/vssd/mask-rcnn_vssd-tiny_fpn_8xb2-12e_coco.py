# Mask R-CNN with FPN on VSSD-T, COCO instance segmentation.
# Published box / mask AP: 46.9 / 42.6 (README of the authors). Not trained here.
_base_ = [
    '../_base_/models/mask-rcnn_vssd-tiny_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/detection_12e_adamw.py',
    '../_base_/mmdet_runtime.py',
]

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=1000),
    dict(type='MultiStepLR', by_epoch=True, end=12, milestones=[8, 11], gamma=0.1),
]
