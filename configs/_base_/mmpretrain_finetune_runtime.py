# The runtime of configs that start from a checkpoint.
_base_ = './mmpretrain_runtime.py'

default_hooks = dict(
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Source and converter call: configs/tnt/README.md, "Weights".'))
