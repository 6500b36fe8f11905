# Cascade Mask R-CNN on Swin-B of ImageNet-22k, COCO: LoRA.
# Published box AP: 50.4 (README of the authors of Mona). Not trained here.
_base_ = './cascade-mask-rcnn_swin-base-in22k_fpn_8xb2-36e_coco.py'

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
