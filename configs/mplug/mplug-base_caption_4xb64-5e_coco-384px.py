# mPLUG-base fine-tuned on COCO captions by cross-entropy.
# Published CIDEr: 137.5 (README of the released code). Not trained here.
_base_ = [
    '../_base_/models/mplug-base_clip-vit-base-p16.py',
    '../_base_/datasets/coco_caption.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageCaptioning',
    text_encoder=None,
    backbone=dict(img_size=384),
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ImageOnlyFusion',
        embed_dims=768,
        image_channels=768,
        project_image=False,
    ),
    # The released search divides by ((5 + n) / 6) ** 0.6 for n tokens. n ** 0.4 is
    # proportional to it within 5 % from 8 to 25 tokens.
    head=dict(num_beams=5, min_length=8, max_length=25, length_penalty=0.4),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-base.pth'

optim_wrapper = dict(
    optimizer=dict(lr=1e-5),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.5)}),
)
param_scheduler = dict(T_max=5)
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=256)
