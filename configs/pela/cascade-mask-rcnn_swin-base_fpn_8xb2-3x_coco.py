# The dense baseline. Published box AP: 50.1 (Table 3). Not trained here.
_base_ = [
    '../_base_/models/cascade-mask-rcnn_swin-base_fpn.py',
    '../_base_/datasets/coco_instance_bs2_multiscale_crop.py',
    '../_base_/schedules/detection_3x_adamw.py',
    '../_base_/mmdet_runtime.py',
]
