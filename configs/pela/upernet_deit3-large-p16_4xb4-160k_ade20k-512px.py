# The dense baseline. Published mIoU: 47.0 (Table 2). Not trained here.
_base_ = [
    '../_base_/models/upernet_deit3-large-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
