# The same pre-training of mPLUG-base on tar archives, as img2dataset writes them;
# 30 passes over 14 M pairs are 410,000 iterations. Not trained here.
_base_ = './mplug-base_4xb256-30e_image-text-14m-256px.py'

image_size = 256
train_dataloader = dict(
    sampler=None,
    drop_last=False,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.ImageTextShards',
        data_root='data/image_text',
        shards=[
            'coco/{00000..00056}.tar', 'vg/{00000..00010}.tar',
            'sbu/{00000..00085}.tar', 'cc3m/{00000..00331}.tar',
            'cc12m/{00000..01242}.tar'
        ],
        pipeline={{_base_.train_pipeline}}))
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=410000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=2000),
    dict(
        type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, T_max=410000)
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=10000), exact_resume=None)
# The hook counts epochs, which a stream does not have.
custom_hooks = []
