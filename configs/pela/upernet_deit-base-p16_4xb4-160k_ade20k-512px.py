# The dense baseline. Published mIoU: 45.0 (Table 2). Not trained here.
_base_ = [
    '../_base_/models/upernet_deit-base-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
