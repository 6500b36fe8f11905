# mPLUG-large fine-tuned for visual entailment on SNLI-VE.
# Published accuracy on the dev set: 89.45 (README of the released code). Not trained
# here.
# The recipe is that of VQA, because the authors' own is not published.
_base_ = [
    '../_base_/models/mplug-large_clip-vit-large-p14.py',
    '../_base_/datasets/snli-ve.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    backbone=dict(img_size=336),
    head=dict(answers=['entailment', 'neutral', 'contradiction']),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-large.pth'

# The pipelines of the data set at another size.
image_size = 336
train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], scale=image_size),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(image_size, image_size)),
    *_base_.test_pipeline[2:],
]
# A batch counts statements, not images.
train_dataloader = dict(
    batch_size=32, dataset=dict(group=False, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
auto_scale_lr = dict(base_batch_size=256)
