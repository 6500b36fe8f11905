# VQA v2 81.27 (test-dev) published; not trained here.
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
    head=dict(num_beams=5, max_length=10),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-large.pth'
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)

image_size = 336
train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(
        type='Resize',
        scale=(image_size, image_size),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmvlfusion.PackQuestions'),
]
# Batches count questions, as the recipe does.
train_dataloader = dict(
    batch_size=256, dataset=dict(group=False, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
auto_scale_lr = dict(base_batch_size=2048)
