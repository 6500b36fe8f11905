# JAR-base on TNT-S, VQA v2.
# No published score. Not trained here.
_base_ = './jar-base_8xb32-10e_vqav2.py'

checkpoints = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvlfusion.TNT',
        arch='small',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        init_cfg=dict(
            type='Pretrained',
            checkpoint=f'{checkpoints}/tnt-small-p16_in1k.pth',
            prefix='backbone.',
        ),
    ),
    fusion=dict(image_channels=384),
)
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
