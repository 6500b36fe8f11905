# The backbone of the models on ADE20K and COCO, smaller than Table 1's: ratio 2,
# and the attention's projection is compressed too. Not trained here.
_base_ = './pela-r1.5_swin-base_4xb64-50e_in1k.py'

model = dict(student=dict(backbone=dict(ratio=2.0, exclude='swin')))
