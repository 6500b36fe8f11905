# TNT-S fine-tuned from ImageNet weights on CIFAR-100 at 384 pixels.
# Published top-1 accuracy: see Table 9 of the paper. Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16_384px.py',
    '../_base_/datasets/cifar_384px.py',
    '../_base_/schedules/classification_finetune_sgd.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(head=dict(num_classes=100))
data_preprocessor = dict(num_classes=100)

train_dataloader = dict(dataset=dict(type='CIFAR100', data_root='data/cifar100'))
val_dataloader = dict(dataset=dict(type='CIFAR100', data_root='data/cifar100'))
test_dataloader = val_dataloader
