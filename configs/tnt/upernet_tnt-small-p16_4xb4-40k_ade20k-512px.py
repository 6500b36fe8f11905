# No published score. Not trained here.
_base_ = [
    '../_base_/models/upernet_tnt-small-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_40k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
