# mmpretrain's runtime with our hooks, for classifiers trained from scratch.
_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(
        type='mmvlfusion.StepCheckpointHook',
        max_keep_ckpts=3,
        backend_args=dict(backend='mmvlfusion.atomic'),
    ),
    class_count=dict(type='mmvlfusion.ClassCountHook'),
    exact_resume=dict(type='mmvlfusion.ExactResumeHook'),
)
