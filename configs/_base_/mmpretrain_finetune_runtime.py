# The runtime of configs that start from a checkpoint.
_base_ = './mmpretrain_runtime.py'

default_hooks = dict(
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Its source and the call that makes it: "Weights" in the '
        'README.md beside the config.',
    )
)
