# UPerNet on four maps of DeiT-B, all of stride 16. Positions of 32 x 64 patches
# give the published size, and wide test images positions of their own.
_base_ = './upernet_tnt-small-p16.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-base-p16_in1k.pth'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-base',
        img_size=(512, 1024),
        patch_size=16,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=None,
    decode_head=dict(in_channels=[768] * 4),
    auxiliary_head=dict(in_channels=768),
)
