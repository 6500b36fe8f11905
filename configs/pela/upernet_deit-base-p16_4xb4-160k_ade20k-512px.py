# UPerNet on DeiT-B, ADE20K segmentation: the dense baseline.
# Published mIoU: 45.0 (Table 2). Not trained here.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-base-p16_in1k.pth'
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=16)),
    # Four maps, all of stride 16. Position embeddings of 32 x 64 patches give the
    # published number of parameters, and cover wide test images.
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='deit-base',
        img_size=(512, 1024),
        patch_size=16,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=None,
    decode_head=dict(in_channels=[768] * 4),
    auxiliary_head=dict(in_channels=768),
)
