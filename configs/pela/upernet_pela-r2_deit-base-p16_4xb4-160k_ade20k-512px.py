# UPerNet on PELA's low-rank DeiT-B (ratio 2), ADE20K segmentation.
# Published mIoU: 43.2 (Table 2). Not trained here.
_base_ = './upernet_deit-base-p16_4xb4-160k_ade20k-512px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/pela-r2_deit-base-p16_in1k.pth'
model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmpretrain.VisionTransformer',
        ratio=2.0,
        exclude='vit',
        init_cfg=dict(checkpoint=checkpoint, prefix='student.backbone.'),
    )
)
