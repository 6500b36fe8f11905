# Mask R-CNN on VSSD-T (arXiv 2407.18559).
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vssd-tiny_in1k.pth'
model = dict(
    _scope_='mmdet',
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.VSSD',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        out_type='featmap',
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
