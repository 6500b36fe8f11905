# TNT-Ti on ImageNet-1k.
# Published top-1 / top-5 accuracy: 73.9 / 91.9 (Table 4). Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
