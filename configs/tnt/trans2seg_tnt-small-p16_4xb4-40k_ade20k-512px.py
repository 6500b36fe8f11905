# Trans2Seg (medium) on TNT-S, ADE20K segmentation.
# Published mIoU: see Table 11 of the paper. Not trained here.
_base_ = [
    '../_base_/models/trans2seg_tnt-small-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_40k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
