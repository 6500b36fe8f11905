# Pre-training of a small ALBEF by three objectives on captions of synthetic scenes.
# No published score. Not trained here.
# The backbone comes from fcn_tnt-micro-p8_1xb32-4k_shapes-64px.
_base_ = [
    '../_base_/models/albef-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_caption.py',
    '../_base_/schedules/mplug_mini_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.VisionLanguagePretraining',
    momentum=0.99,
    queue_size=1024,
    head=None,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', feature_dims=64),
        matching=dict(type='mmvlfusion.MatchingObjective'),
        masked_language=dict(
            type='mmvlfusion.MaskedLanguageObjective', share_embeddings=True
        ),
    ),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/fcn_tnt-micro-p8_1xb32-4k_shapes-64px/iter_4000.pth',
            prefix='backbone.',
        )
    ),
)
# Soft targets ramp up, because the EMA model is untrained at the start.
custom_hooks = [
    dict(
        type='WarmupParamHook',
        param_name='alpha',
        module_name=f'objectives.{name}',
        warmup_epochs=1,
    )
    for name in ('contrastive', 'masked_language')
]
# Pre-training has no metric to validate.
val_cfg = None
val_dataloader = None
val_evaluator = None
test_dataloader = None
test_evaluator = None
test_cfg = None
randomness = dict(seed=0)
