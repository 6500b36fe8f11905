# A TNT of 0.9 M parameters on CIFAR-10, from scratch on a CPU.
# No published score. Reached here, from 500 training images a class: top-1 accuracy
# 48.4.
_base_ = [
    '../_base_/models/tnt-mini-p8_32px.py',
    '../_base_/datasets/cifar10_folders.py',
    '../_base_/schedules/classification_mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]
