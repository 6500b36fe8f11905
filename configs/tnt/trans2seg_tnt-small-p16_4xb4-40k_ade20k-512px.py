# Published mIoU: see the paper, Table 11. Not trained here.
_base_ = [
    '../_base_/models/trans2seg_tnt-small-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_40k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
