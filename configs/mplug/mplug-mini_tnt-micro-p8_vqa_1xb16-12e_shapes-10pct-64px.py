# A small mPLUG fine-tuned, from pre-training, on a tenth of the questions about
# synthetic scenes.
# No published score. Reached here: accuracy 89.9 (78.3 without pre-training).
_base_ = [
    '../_base_/models/mplug-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_vqa.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(type='mmvlfusion.VisualQuestionAnswering', head=dict(min_length=1))
load_from = 'work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

train_dataloader = dict(dataset=dict(indices=1600))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=12)]
train_cfg = dict(max_epochs=12, val_interval=4)
randomness = dict(seed=0)
