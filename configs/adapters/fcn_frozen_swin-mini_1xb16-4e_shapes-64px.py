# A linear classifier of the cells of the small Swin, on synthetic shapes: only the
# head is trained.
# No published score. Not trained here.
_base_ = './fcn_swin-mini_1xb16-4e_shapes-64px.py'

model = dict(backbone=dict(frozen_stages=1))
