# Learns on one CPU.
_base_ = [
    '../_base_/models/tnt-mini-p8_32px.py',
    '../_base_/datasets/cifar10_folders.py',
    '../_base_/schedules/classification_mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]
