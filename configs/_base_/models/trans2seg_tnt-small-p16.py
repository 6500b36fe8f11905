# Trans2Seg (medium) on the feature map of TNT-S (arXiv 2103.00112, Table 11).
checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth'

# The tools of mmseg read it at the top level.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)
model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='mmvlfusion.TNT',
        arch='small',
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(
        type='mmvlfusion.Trans2SegHead',
        img_size=512,
        in_channels=384,
        num_classes=150,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
