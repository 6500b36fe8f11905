# A small Trans2Seg on a TNT of four blocks, for 128-pixel images and CPUs.
_base_ = './tnt-mini-p8_128px.py'

# The tools of mmseg read it at the top level.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(128, 128),
)
model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(inner_blocks=(0, 2)),
    decode_head=dict(
        type='mmvlfusion.Trans2SegHead',
        img_size=128,
        stride=8,
        in_channels=128,
        embed_dims=128,
        num_layers=2,
        num_heads=4,
        channels=64,
        num_classes=9,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
