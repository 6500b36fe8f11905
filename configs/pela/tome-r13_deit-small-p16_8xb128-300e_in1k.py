# ToMe on DeiT-S (arXiv 2210.09461): 13 patches are merged in each block, in training
# and in testing, with DeiT's recipe.
# Published top-1 accuracy: 79.36 (the authors' repository); dense model 79.8. Not
# trained here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/imagenet_300e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmvlfusion.ToMe',
        module='mmpretrain.VisionTransformer',
        r=13,
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
    ),
    neck=None,
    head=dict(
        type='mmpretrain.VisionTransformerClsHead',
        num_classes=1000,
        in_channels=384,
        loss=dict(
            type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)

train_dataloader = dict(batch_size=128, sampler=dict(type='RepeatAugSampler'))
