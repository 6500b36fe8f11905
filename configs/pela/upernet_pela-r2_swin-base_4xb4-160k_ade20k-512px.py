# UPerNet on PELA's low-rank Swin-B (ratio 2), ADE20K segmentation.
# Published mIoU: 47.2 (Table 2). Not trained here.
_base_ = './upernet_swin-base_4xb4-160k_ade20k-512px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/pela-r2_swin-base_in1k.pth'
model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmpretrain.SwinTransformer',
        ratio=2.0,
        exclude='swin',
        init_cfg=dict(checkpoint=checkpoint, prefix='student.backbone.'),
    )
)
