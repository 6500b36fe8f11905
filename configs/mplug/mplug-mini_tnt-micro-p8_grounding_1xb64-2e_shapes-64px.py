# A small mPLUG fine-tuned, from pre-training, for boxes of referring expressions on
# synthetic shapes.
# No published score. Not trained here from pre-training.
# `make demo TASK=grounding`, four epochs on 6,000 scenes without pre-training, reaches
# 59.6 % of boxes with an IoU of at least 0.5.
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
default_hooks = dict(data_files=dict(type='mmvlfusion.DataFilesHook'))
load_from = 'work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
