# mPLUG-large fine-tuned for retrieval on COCO.
# Published R@1 of texts / images: 82.8 / 65.8 (README of the released code). Not
# trained here.
_base_ = [
    '../_base_/models/mplug-large_clip-vit-large-p14.py',
    '../_base_/datasets/coco_retrieval.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageTextRetrieval',
    max_text_length=30,
    num_candidates=256,
    queue_size=65536,
    backbone=dict(img_size=336),
    head=None,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', pool='first'),
        matching=dict(type='mmvlfusion.MatchingObjective'),
    ),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-large.pth'

optim_wrapper = dict(
    optimizer=dict(lr=1e-5),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.2)}),
)
# Soft targets ramp up in the first epoch, as released.
custom_hooks = [
    dict(
        type='WarmupParamHook',
        param_name='alpha',
        module_name='objectives.contrastive',
        warmup_epochs=1,
    )
]
val_cfg = dict(type='RetrievalValLoop')
test_cfg = dict(type='RetrievalTestLoop')
