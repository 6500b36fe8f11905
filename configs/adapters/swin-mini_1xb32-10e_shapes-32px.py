# A Swin of two stages that classifies synthetic shapes at 32 pixels: the base of the
# small models with adapters.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/swin-mini_32px.py',
    '../_base_/datasets/shapes_classification.py',
    '../_base_/schedules/classification_mini_10e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

randomness = dict(seed=0)
