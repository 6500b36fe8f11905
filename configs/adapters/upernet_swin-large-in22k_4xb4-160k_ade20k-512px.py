# UPerNet on Swin-L of ImageNet-22k, ADE20K segmentation: full fine-tuning.
# Published mIoU: 51.2 (README of the authors of Mona). Not trained here.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/segmentation_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-large_in22k.pth'
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch='large',
        img_size=224,
        out_indices=(0, 1, 2, 3),
        pad_small_map=True,
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=None,
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
