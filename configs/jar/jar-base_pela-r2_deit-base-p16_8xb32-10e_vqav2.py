# JAR-base on PELA's low-rank DeiT-B (ratio 2), VQA v2.
# No published score. Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

checkpoints = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.PELAVisionTransformer',
        arch='deit-base',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        init_cfg=dict(
            type='Pretrained',
            checkpoint=f'{checkpoints}/pela-r2_deit-base-p16_in1k.pth',
            prefix='student.backbone.',
        ),
    ),
    fusion=dict(image_channels=768),
)
