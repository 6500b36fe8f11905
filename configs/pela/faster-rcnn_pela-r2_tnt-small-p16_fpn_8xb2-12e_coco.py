# Faster R-CNN on PELA's low-rank TNT-S (ratio 2), COCO detection.
# No published score. Not trained here.
_base_ = '../tnt/faster-rcnn_tnt-small-p16_fpn_8xb2-12e_coco.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/pela-r2_tnt-small-p16_in1k.pth'
model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmvlfusion.TNT',
        ratio=2.0,
        exclude='tnt',
        init_cfg=dict(checkpoint=checkpoint, prefix='student.backbone.'),
    )
)
