# Faster R-CNN on four feature maps of TNT-S (arXiv 2103.00112, appendix A.3).
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth'
model = dict(
    _scope_='mmdet',
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.TNT',
        arch='small',
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=[
        dict(type='mmvlfusion.PlainFeaturePyramid', in_channels=[384] * 4),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=5),
    ],
)
