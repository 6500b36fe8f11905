# UPerNet on PELA's low-rank DeiT-III-L (ratio 2), ADE20K segmentation.
# Published mIoU: 45.6 (Table 2). Not trained here.
_base_ = './upernet_deit3-large-p16_4xb4-160k_ade20k-512px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/pela-r2_deit3-large-p16_in1k.pth'
model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmpretrain.VisionTransformer',
        ratio=2.0,
        exclude='vit',
        init_cfg=dict(checkpoint=checkpoint, prefix='student.backbone.'),
    )
)
