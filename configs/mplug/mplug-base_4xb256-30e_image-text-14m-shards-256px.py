# Pre-training of mPLUG-base on tar archives, as img2dataset writes them.
# No published score. Not trained here.
_base_ = './mplug-base_4xb256-30e_image-text-14m-256px.py'

image_size = 256
train_dataloader = dict(
    sampler=None,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.ImageTextShards',
        data_root='data/image_text',
        num_samples=14000000,
        shards=[
            'coco/{00000..00056}.tar',
            'vg/{00000..00010}.tar',
            'sbu/{00000..00085}.tar',
            'cc3m/{00000..00331}.tar',
            'cc12m/{00000..01242}.tar',
        ],
        pipeline={{_base_.train_pipeline}},
    ),
)
# Without ExactResumeHook, because a stream cannot be resumed exactly.
default_hooks = dict(
    _delete_=True,
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
    initial_weights={{_base_.default_hooks.initial_weights}},
)
