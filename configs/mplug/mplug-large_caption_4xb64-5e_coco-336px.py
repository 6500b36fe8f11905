# COCO captions, CIDEr 141.0 published by cross-entropy; not trained here.
_base_ = [
    '../_base_/models/mplug-large_clip-vit-large-p14.py',
    '../_base_/datasets/coco_caption.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageCaptioning',
    text_encoder=None,
    backbone=dict(img_size=336),
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ImageOnlyFusion',
        embed_dims=768,
        image_channels=1024,
        project_image=True,
    ),
    head=dict(num_beams=5, min_length=8, max_length=25),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-large.pth'

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
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='CleanCaption', keys='gt_caption'),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(
        type='Resize',
        scale=(image_size, image_size),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(lr=1e-5),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.5)}),
)
param_scheduler = dict(T_max=5)
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=256)
