# mmdet's runtime with our hooks, for detectors.
_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(
        type='mmvlfusion.StepCheckpointHook',
        max_keep_ckpts=3,
        backend_args=dict(backend='mmvlfusion.atomic'),
    ),
    data_files=dict(type='mmvlfusion.DataFilesHook'),
    class_count=dict(type='mmvlfusion.ClassCountHook'),
    feature_maps=dict(type='mmvlfusion.FeatureMapsHook'),
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Its source and the command that creates it are listed in the '
        'README.md next to the config, under "Weights".',
    ),
    exact_resume=dict(type='mmvlfusion.ExactResumeHook'),
)
# On several GPUs, trained BatchNorm layers use the statistics of all GPUs.
sync_bn = 'torch'
