# ALBEF of 4 M pairs fine-tuned for retrieval on COCO.
# Published R@1 of texts / images: 73.1 / 56.8 (arXiv 2107.07651, Table 2; 77.6 / 60.7
# with 14 M pairs). Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/albef_augmentation.py',
    '../_base_/datasets/coco_retrieval.py',
    '../_base_/schedules/albef_finetune_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageTextRetrieval',
    max_text_length=30,
    num_candidates=256,
    queue_size=65536,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', pool='first'),
        matching=dict(type='mmvlfusion.MatchingObjective'),
    ),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-4m.pth'
# Soft targets ramp up in the first epoch.
custom_hooks = [
    dict(
        type='WarmupParamHook',
        param_name='alpha',
        module_name='objectives.contrastive',
        warmup_epochs=1,
    )
]

optim_wrapper = dict(optimizer=dict(lr=1e-5))
# There is no warm-up: its learning rate would equal the first one of the training.
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, T_max=5
)
train_cfg = dict(max_epochs=5)
val_cfg = dict(type='RetrievalValLoop')
test_cfg = dict(type='RetrievalTestLoop')

train_pipeline = [
    _base_.train_pipeline[0],
    *_base_.augmentation,
    *_base_.train_pipeline[4:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(384, 384)),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
