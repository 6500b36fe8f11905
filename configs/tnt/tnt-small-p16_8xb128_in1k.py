# Published top-1 / top-5: 81.5 / 95.7 (Table 4). Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16.py',
    '../_base_/datasets/imagenet_bs128_tnt_224.py',
    '../_base_/schedules/imagenet_bs1024_adamw_deit.py',
    '../_base_/mmpretrain_runtime.py',
]
