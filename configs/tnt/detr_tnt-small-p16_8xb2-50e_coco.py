# DETR on TNT-S, COCO detection.
# Published box AP / AP50 / AP75: 38.2 / 58.9 / 39.4 (Table 10). Not trained here.
_base_ = [
    '../_base_/models/detr_tnt-small-p16.py',
    '../_base_/datasets/coco_detection_multiscale.py',
    '../_base_/schedules/detr_50e.py',
    '../_base_/mmdet_runtime.py',
]
