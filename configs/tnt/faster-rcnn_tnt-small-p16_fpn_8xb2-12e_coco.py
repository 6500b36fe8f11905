# Faster R-CNN with FPN on TNT-S, COCO detection.
# Published box AP: 41.5 (Table 13). Not trained here.
_base_ = [
    '../_base_/models/faster-rcnn_tnt-small-p16_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/detection_12e_adamw.py',
    '../_base_/mmdet_runtime.py',
]
