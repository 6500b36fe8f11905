# Cascade Mask R-CNN on Swin-B of ImageNet-22k, COCO: full fine-tuning.
# Published box AP: 52.4 (README of the authors of Mona). Not trained here.
_base_ = [
    '../_base_/models/cascade-mask-rcnn_swin-base_fpn.py',
    '../_base_/datasets/coco_instance_multiscale_crop.py',
    '../_base_/schedules/detection_36e_adamw.py',
    '../_base_/mmdet_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-base_in22k.pth'
model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)))
