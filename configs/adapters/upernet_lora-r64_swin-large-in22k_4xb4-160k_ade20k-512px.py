# UPerNet on Swin-L of ImageNet-22k, ADE20K segmentation: LoRA.
# Published mIoU: 50.3 (README of the authors of Mona). Not trained here.
_base_ = './upernet_swin-large-in22k_4xb4-160k_ade20k-512px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LoRA',
        module='mmpretrain.SwinTransformer',
        rank=64,
        alpha=1,
        include=['qkv'],
    )
)
default_hooks = dict(adapters=dict(type='mmvlfusion.AdapterHook'))
