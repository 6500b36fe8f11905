# Further training of the dense ViT on CIFAR-10: the control of the compressed models.
# No published score. Reached here: top-1 accuracy 55.7.
# Set load_from to the checkpoint of the dense model.
_base_ = [
    '../_base_/models/vit-lite-p4_32px.py',
    '../_base_/datasets/cifar10_folders.py',
    '../_base_/schedules/classification_mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

train_dataloader = dict(batch_size=64)

optim_wrapper = dict(optimizer=dict(lr=5e-4))
max_epochs = 30
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-2,
        by_epoch=True,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=1,
        T_max=max_epochs - 1,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
auto_scale_lr = dict(base_batch_size=64)
