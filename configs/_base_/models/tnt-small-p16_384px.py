# TNT-S at 384 pixels, from ImageNet weights.
_base_ = './tnt-small-p16.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth'
model = dict(
    backbone=dict(
        img_size=384,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    head=dict(topk=(1,)),
)
