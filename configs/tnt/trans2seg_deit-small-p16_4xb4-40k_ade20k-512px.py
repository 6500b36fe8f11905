# Trans2Seg on DeiT-S with the head and recipe of TNT-S, ADE20K segmentation: the
# baseline.
# Published mIoU: see Table 11 of the paper. Not trained here.
_base_ = './trans2seg_tnt-small-p16_4xb4-40k_ade20k-512px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-small-p16_in1k.pth'
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
)
