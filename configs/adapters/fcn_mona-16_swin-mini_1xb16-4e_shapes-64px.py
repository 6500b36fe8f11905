# A linear classifier of the cells of the small Swin, on synthetic shapes: Mona with 16
# channels.
# No published score. Not trained here.
_base_ = './fcn_swin-mini_1xb16-4e_shapes-64px.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.Mona', module='mmpretrain.SwinTransformer', hidden_dims=16
    )
)
default_hooks = dict(adapters=dict(type='mmvlfusion.AdapterHook'))
