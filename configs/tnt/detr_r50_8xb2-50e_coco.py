# The baseline of TNT-S under the recipe of PVT, which the paper follows.
# Published box AP: see the paper, Table 10. Not trained here.
_base_ = [
    '../_base_/models/detr_r50.py',
    '../_base_/datasets/coco_detection_multiscale.py',
    '../_base_/schedules/detr_50e.py',
    '../_base_/mmdet_runtime.py',
]
