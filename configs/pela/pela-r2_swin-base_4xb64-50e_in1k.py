# PELA's intermediate pre-training of Swin-B at ratio 2.
# No published score. Not trained here.
# The backbone of the models on ADE20K and COCO (Tables 2 and 3), which is smaller than
# that of Table 1: the attention's output projection is compressed too.
_base_ = './pela-r1.5_swin-base_4xb64-50e_in1k.py'

model = dict(student=dict(backbone=dict(ratio=2.0, exclude='swin')))
