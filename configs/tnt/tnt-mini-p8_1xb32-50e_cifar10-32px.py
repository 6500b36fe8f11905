# Learns on one CPU.
_base_ = [
    '../_base_/models/tnt-mini-p8_32px.py',
    '../_base_/datasets/cifar10_folders_bs32_32px.py',
    '../_base_/schedules/small_bs32_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]
