# Boxes of synthetic shapes that an expression refers to, from pre-training.
_base_ = [
    '../_base_/models/mplug-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_grounding.py',
    '../_base_/schedules/mplug_mini_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualGrounding',
    head=dict(type='mmvlfusion.BoxGenerationHead', num_bins=64, first_token=0),
)
load_from = 'work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
