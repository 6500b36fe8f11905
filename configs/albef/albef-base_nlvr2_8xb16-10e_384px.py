# ALBEF of 4 M pairs fine-tuned on NLVR2 after text assignment.
# Published accuracy on the dev / test-P set: 80.24 / 80.50 (arXiv 2107.07651, Table 4;
# 82.55 / 83.14 with 14 M pairs). Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/nlvr2.py',
    '../_base_/schedules/albef_finetune_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    max_text_length=30,
    fusion=dict(num_images=2),
    head=dict(
        type='mmvlfusion.ClassTokenHead',
        in_channels=768,
        answers=['False', 'True'],
        alpha=0.4,
    ),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-nlvr.pth'
# Soft targets ramp up in the first epoch.
custom_hooks = [
    dict(
        type='WarmupParamHook', param_name='alpha', module_name='head', warmup_epochs=1
    )
]

param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], T_max=10),
]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=128)
