# Cascade Mask R-CNN on Swin-B with the box heads of Swin's authors.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-base_in1k.pth'
bbox_heads = [
    dict(
        type='ConvFCBBoxHead',
        num_shared_convs=4,
        num_shared_fcs=1,
        in_channels=256,
        conv_out_channels=256,
        fc_out_channels=1024,
        roi_feat_size=7,
        num_classes=80,
        reg_class_agnostic=False,
        reg_decoded_bbox=True,
        norm_cfg=dict(type='BN'),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[scale, scale, 2 * scale, 2 * scale],
        ),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
    )
    for scale in (0.1, 0.05, 0.033)
]
model = dict(
    _scope_='mmdet',
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='base',
        img_size=224,
        out_indices=(0, 1, 2, 3),
        pad_small_map=True,
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    roi_head=dict(bbox_head=bbox_heads),
)
