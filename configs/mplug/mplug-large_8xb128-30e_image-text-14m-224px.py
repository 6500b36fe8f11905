# Pre-training of mPLUG-large by four objectives on 14 M image-text pairs.
# No published score. Not trained here.
# As released, with a stride of 6, by which no layer is connected. schedule='paper' with
# stride=5 or 2 connects layers.
_base_ = './mplug-base_4xb256-30e_image-text-14m-256px.py'

model = dict(
    backbone=dict(
        arch='large',
        img_size=224,
        patch_size=14,
        init_cfg=dict(
            checkpoint='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/clip-vit-large-p14.pth',
            prefix='backbone.',
        ),
    ),
    fusion=dict(image_channels=1024, project_image=True, stride=6),
)

# The pipeline of the data set at another size.
image_size = 224
train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], scale=image_size),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
