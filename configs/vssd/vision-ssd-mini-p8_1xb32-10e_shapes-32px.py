# A VisionSSD of 0.88 M parameters, expand 2, that classifies synthetic shapes at 32
# pixels.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/vision-ssd-mini-p8_32px.py',
    '../_base_/datasets/shapes_classification.py',
    '../_base_/schedules/classification_mini_10e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

optim_wrapper = dict(constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor')
randomness = dict(seed=0)
