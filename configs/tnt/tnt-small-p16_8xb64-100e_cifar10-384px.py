# Fine-tuning at 384 pixels (Table 9). Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16_384px.py',
    '../_base_/datasets/cifar_384px.py',
    '../_base_/schedules/classification_finetune_sgd.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(head=dict(num_classes=10))
