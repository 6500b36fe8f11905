# A small ALBEF fine-tuned, from pre-training, on a tenth of the questions about
# synthetic scenes.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_vqa.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    decoder_from_fusion=True,
    momentum=0.99,
    head=dict(min_length=1, alpha=0.4),
)
load_from = 'work_dirs/albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'
# Soft targets ramp up in the first epoch.
custom_hooks = [
    dict(
        type='WarmupParamHook', param_name='alpha', module_name='head', warmup_epochs=1
    )
]

train_dataloader = dict(dataset=dict(indices=1600))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=12)]
train_cfg = dict(max_epochs=12, val_interval=4)
randomness = dict(seed=0)
