# Cascade Mask R-CNN on Swin-B, COCO: the dense baseline.
# Published box AP: 50.1 (Table 3). Not trained here.
_base_ = [
    '../_base_/models/cascade-mask-rcnn_swin-base_fpn.py',
    '../_base_/datasets/coco_instance_multiscale_crop.py',
    '../_base_/schedules/detection_36e_adamw.py',
    '../_base_/mmdet_runtime.py',
]
