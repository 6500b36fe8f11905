# DETR on ResNet-50 with PVT's recipe, which the paper follows, COCO detection: a
# baseline.
# Published box AP: see Table 10 of the paper. Not trained here.
_base_ = [
    '../_base_/models/detr_r50.py',
    '../_base_/datasets/coco_detection_multiscale.py',
    '../_base_/schedules/detr_50e.py',
    '../_base_/mmdet_runtime.py',
]
