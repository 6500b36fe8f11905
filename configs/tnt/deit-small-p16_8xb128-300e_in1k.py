# DeiT-S on ImageNet-1k with the recipe of TNT-S: the baseline.
# Published top-1 accuracy: 79.8 (Table 4). Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
    )
)
