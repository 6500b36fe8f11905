# mmdet's runtime, and the hooks that our detection configs share.
_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3),
    data_files=dict(type='mmvlfusion.DataFilesHook'),
    class_count=dict(type='mmvlfusion.ClassCountHook'),
    feature_maps=dict(type='mmvlfusion.FeatureMapsHook'),
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Its source and the call that makes it: "Weights" in the '
        'README.md beside the config.',
    ),
    exact_resume=dict(type='mmvlfusion.ExactResumeHook'),
)
# Where BN is trained, on several GPUs its statistics are those of all.
sync_bn = 'torch'
