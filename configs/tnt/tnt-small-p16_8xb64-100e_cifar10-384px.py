# TNT-S fine-tuned from ImageNet weights on CIFAR-10 at 384 pixels.
# Published top-1 accuracy: see Table 9 of the paper. Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16_384px.py',
    '../_base_/datasets/cifar_384px.py',
    '../_base_/schedules/classification_finetune_sgd.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(head=dict(num_classes=10))
