# A small mPLUG fine-tuned, from pre-training, for visual entailment on synthetic
# scenes.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/mplug-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_snli-ve.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    head=dict(answers=['entailment', 'neutral', 'contradiction']),
)
load_from = 'work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
