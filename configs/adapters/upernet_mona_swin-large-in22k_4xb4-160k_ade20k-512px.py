# UPerNet on Swin-L of ImageNet-22k, ADE20K segmentation: Mona, with five times the
# learning rate of full fine-tuning.
# Published mIoU: 51.4 (README of the authors of Mona). Not trained here.
_base_ = './upernet_swin-large-in22k_4xb4-160k_ade20k-512px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.Mona', module='mmpretrain.SwinTransformer', drop_path_rate=0.2
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
default_hooks = dict(adapters=dict(type='mmvlfusion.AdapterHook'))
