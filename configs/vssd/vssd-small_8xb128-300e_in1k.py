# VSSD-S on ImageNet-1k.
# Published top-1 accuracy: 84.1 (README of the authors); 84.5 with MESA, which is not
# part of this recipe. Not trained here.
_base_ = './vssd-tiny_8xb128-300e_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.4))
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(_base_.param_scheduler[0], start_factor=1 / 600),
    dict(_base_.param_scheduler[1], eta_min=6e-6),
]
