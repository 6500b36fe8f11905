# Faster R-CNN on DeiT-S with the neck and recipe of TNT-S, COCO detection: the
# baseline.
# Published box AP: 39.9 (Table 13). Not trained here.
_base_ = './faster-rcnn_tnt-small-p16_fpn_8xb2-12e_coco.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-small-p16_in1k.pth'
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
)
