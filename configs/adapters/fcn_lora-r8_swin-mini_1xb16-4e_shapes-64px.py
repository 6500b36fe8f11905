# A linear classifier of the cells of the small Swin, on synthetic shapes: LoRA on all
# linear layers.
# No published score. Not trained here.
_base_ = './fcn_swin-mini_1xb16-4e_shapes-64px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LoRA',
        module='mmpretrain.SwinTransformer',
        rank=8,
        alpha=8,
        include='all',
        exclude=['downsample'],
    )
)
default_hooks = dict(adapters=dict(type='mmvlfusion.AdapterHook'))
