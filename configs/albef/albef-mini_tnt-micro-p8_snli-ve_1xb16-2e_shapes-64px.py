# A small ALBEF fine-tuned, from pre-training, for visual entailment on synthetic
# scenes.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_snli-ve.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    momentum=0.99,
    head=dict(
        _delete_=True,
        type='mmvlfusion.ClassTokenHead',
        in_channels=96,
        answers=['contradiction', 'neutral', 'entailment'],
        alpha=0.4,
    ),
)
load_from = 'work_dirs/albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
