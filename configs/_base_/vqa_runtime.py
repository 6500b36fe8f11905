# mmpretrain's runtime with our hooks, for models that answer questions.
_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(
    visualization=dict(type='mmvlfusion.QuestionVisualizationHook'),
    checkpoint=dict(
        type='mmvlfusion.StepCheckpointHook',
        max_keep_ckpts=3,
        backend_args=dict(backend='mmvlfusion.atomic'),
    ),
    class_count=dict(type='mmvlfusion.ClassCountHook'),
    exact_resume=dict(type='mmvlfusion.ExactResumeHook'),
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Its source and the command that creates it are listed in the '
        'README.md next to the config, under "Weights".',
    ),
)
# Without the scope of inherited dicts, which browse_dataset.py of mmpretrain refuses.
visualizer = dict(
    _delete_=True,
    type='UniversalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)
