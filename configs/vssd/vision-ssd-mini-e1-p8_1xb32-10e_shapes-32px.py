# A VisionSSD of 0.88 M parameters, expand 1, that classifies synthetic shapes at 32
# pixels.
# No published score. Not trained here.
_base_ = './vision-ssd-mini-p8_1xb32-10e_shapes-32px.py'

model = dict(backbone=dict(expand=1, ffn_ratio=4.6640625))
