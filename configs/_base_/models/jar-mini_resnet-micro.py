# JAR's mini model on three stages of a narrow ResNet-18, which learns what small
# and turned shapes are sooner than a TNT does; its map has cells of 8 x 8 pixels.
_base_ = './jar-mini_tnt-micro-p8.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet',
        depth=18,
        num_stages=3,
        stem_channels=32,
        base_channels=32,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    fusion=dict(image_channels=128),
)
