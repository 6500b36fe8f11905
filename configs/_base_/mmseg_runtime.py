# mmseg's runtime with our hooks, for segmentation. It repeats mmseg's file because
# `mmseg::` bases are not found in the onedl distribution.
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='mmvlfusion.StepCheckpointHook',
        by_epoch=False,
        interval=4000,
        max_keep_ckpts=3,
        backend_args=dict(backend='mmvlfusion.atomic'),
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
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
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer'
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
# On several GPUs, BatchNorm uses the statistics of all GPUs.
sync_bn = 'torch'
