# ALBEF of 4 M pairs fine-tuned for visual entailment on SNLI-VE.
# Published accuracy on the dev / test set: 80.14 / 80.30 (arXiv 2107.07651, Table 4;
# 80.80 / 80.91 with 14 M pairs). Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/albef_augmentation.py',
    '../_base_/datasets/snli-ve.py',
    '../_base_/schedules/albef_finetune_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    max_text_length=30,
    head=dict(
        type='mmvlfusion.ClassTokenHead',
        in_channels=768,
        answers=['contradiction', 'neutral', 'entailment'],
        alpha=0.4,
    ),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-4m.pth'

param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], T_max=5),
]
train_cfg = dict(max_epochs=5)

clean_text = dict(type='mmvlfusion.CleanText', keys='question')
train_pipeline = [
    _base_.train_pipeline[0],
    *_base_.augmentation,
    clean_text,
    _base_.train_pipeline[2],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(384, 384)),
    clean_text,
    _base_.test_pipeline[2],
]
# A batch counts statements, not images.
train_dataloader = dict(
    batch_size=32, dataset=dict(group=False, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(group=False, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(group=False, pipeline=test_pipeline))
