# Cascade Mask R-CNN on PELA's low-rank Swin-B (ratio 2), COCO.
# Published box AP: 49.0 (Table 3). Not trained here.
_base_ = './cascade-mask-rcnn_swin-base_fpn_8xb2-36e_coco.py'

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
