# TNT-S on ImageNet-1k.
# Published top-1 / top-5 accuracy: 81.5 / 95.7 (Table 4). Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16.py',
    '../_base_/datasets/imagenet_tnt.py',
    '../_base_/schedules/imagenet_300e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]
