# A ViT of 0.2 M parameters on CIFAR-10: the dense model and teacher of the experiments.
# No published score. Reached here: top-1 accuracy 56.4.
_base_ = [
    '../_base_/models/vit-lite-p4_32px.py',
    '../_base_/datasets/cifar10_folders.py',
    '../_base_/schedules/classification_mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

train_dataloader = dict(batch_size=64)

max_epochs = 80
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-2,
        by_epoch=True,
        end=2,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=2,
        T_max=max_epochs - 2,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
auto_scale_lr = dict(base_batch_size=64)
