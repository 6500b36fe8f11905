# Trans2Seg (medium) on VisionSSD-S with expand 1, ADE20K segmentation,
# with the head and recipe of TNT-S.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/trans2seg_tnt-small-p16.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_40k_adamw.py',
    '../_base_/mmseg_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/vision-ssd-small-e1-p16_in1k.pth'
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.VisionSSD',
        arch='small',
        expand=1,
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
)
