# Mask R-CNN with FPN on TNT-S, COCO instance segmentation.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/mask-rcnn_tnt-small-p16_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/detection_12e_adamw.py',
    '../_base_/mmdet_runtime.py',
]
