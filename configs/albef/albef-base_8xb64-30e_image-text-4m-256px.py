# Pre-training of ALBEF by three objectives on 4 M image-text pairs.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/image-text-4m.py',
    '../_base_/schedules/albef_pretrain_30e_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.VisionLanguagePretraining',
    max_text_length=25,
    queue_size=65536,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', pool='first'),
        matching=dict(type='mmvlfusion.MatchingObjective'),
        masked_language=dict(
            type='mmvlfusion.MaskedLanguageObjective',
            share_embeddings=True,
            pretrained=_base_.bert,
        ),
    ),
    backbone=dict(
        img_size=256,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/deit-base-p16_in1k.pth',
            prefix='backbone.',
        ),
    ),
    fusion=dict(pretrained=_base_.bert),
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
