# Pre-training of mPLUG-base by four objectives on 14 M image-text pairs.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/mplug-base_clip-vit-base-p16.py',
    '../_base_/datasets/image-text-14m.py',
    '../_base_/schedules/mplug_pretrain_30e_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.VisionLanguagePretraining',
    max_text_length=25,
    queue_size=65536,
    head=dict(field='caption', max_length=25),
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', pool='first'),
        matching=dict(type='mmvlfusion.MatchingObjective'),
        masked_language=dict(type='mmvlfusion.MaskedLanguageObjective'),
        prefix_language=dict(type='mmvlfusion.PrefixLanguageObjective'),
    ),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/clip-vit-base-p16.pth',
            prefix='visual.',
        )
    ),
)
# Soft targets ramp up, because the momentum model is untrained at the start.
custom_hooks = [
    dict(
        type='WarmupParamHook',
        param_name='alpha',
        module_name=f'objectives.{name}',
        warmup_epochs=1,
    )
    for name in ('contrastive', 'masked_language')
]
