# mPLUG-large fine-tuned on COCO captions by cross-entropy.
# Published CIDEr: 141.0 (README of the released code). Not trained here.
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
    # The released search divides by ((5 + n) / 6) ** 0.6 for n tokens. n ** 0.4 is
    # proportional to it within 5 % from 8 to 25 tokens.
    head=dict(num_beams=5, min_length=8, max_length=25, length_penalty=0.4),
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
