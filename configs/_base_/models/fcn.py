# A linear classifier of the cells of a feature map: FCN without convolutions, for
# pre-training small backbones on synthetic shapes. A config adds the backbone, the
# channels and the size of the crops.

# The tools of mmseg read it at the top level.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    decode_head=dict(
        type='FCNHead',
        in_index=0,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=9,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        # Most cells are background, which is easy to classify and trains little.
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[0.3] + 8 * [1.0]),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
