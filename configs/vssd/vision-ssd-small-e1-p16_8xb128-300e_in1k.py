# VisionSSD-S on ImageNet-1k with expand 1, which costs less than DeiT-S.
# No published score. Not trained here.
_base_ = './vision-ssd-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(expand=1))
