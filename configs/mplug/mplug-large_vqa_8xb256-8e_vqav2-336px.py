# mPLUG-large fine-tuned on VQA v2.
# Published accuracy on test-dev: 81.27 (README of the released code). Not trained here.
_base_ = [
    '../_base_/models/mplug-large_clip-vit-large-p14.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    max_text_length=80,
    backbone=dict(img_size=336),
    # As released, training answers are not truncated: the decoder has 512 positions.
    # The released search divides by ((5 + n) / 6) ** 0.6 for n tokens; n ** 0.24 is
    # equal at 1 and 10 tokens, and within 9 % between them.
    head=dict(
        num_beams=5,
        min_length=1,
        max_length=10,
        max_target_length=512,
        length_penalty=0.24,
    ),
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
# A batch counts questions, not images, as in the released recipe.
train_dataloader = dict(
    batch_size=256, dataset=dict(group=False, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
auto_scale_lr = dict(base_batch_size=2048)
