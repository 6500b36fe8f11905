# VSSD-M on ImageNet-1k.
# Published top-1 accuracy: 82.5 (README of the authors). Not trained here.
_base_ = './vssd-tiny_8xb128-300e_in1k.py'

model = dict(
    backbone=dict(arch='micro', drop_path_rate=0.1), head=dict(in_channels=384)
)
