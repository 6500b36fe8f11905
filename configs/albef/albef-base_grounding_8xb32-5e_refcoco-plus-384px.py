# ALBEF of 4 M pairs fine-tuned for weakly supervised grounding on RefCOCO+: trained
# like retrieval, boxes by Grad-CAM.
# Published accuracy on val / testA / testB: 57.94 / 65.07 / 45.75 (arXiv 2310.10700,
# Table 6; 58.46 / 65.89 / 46.25 with 14 M pairs, arXiv 2107.07651, Table 5). Not
# trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/refcoco.py',
    '../_base_/schedules/albef_finetune_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.GradCAMGrounding',
    attention='fusion.layers.2.cross_attn',
    max_text_length=30,
    queue_size=65536,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', pool='first'),
        matching=dict(type='mmvlfusion.MatchingObjective'),
    ),
)
default_hooks = dict(data_files=dict(type='mmvlfusion.DataFilesHook'))
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

# No flips, because expressions distinguish left and right.
resize = dict(_base_.test_pipeline[1], scale=(384, 384))
clean_text = dict(type='mmvlfusion.CleanText', keys='text')
train_pipeline = [
    _base_.train_pipeline[0],
    resize,
    clean_text,
    dict(
        type='PackInputs',
        algorithm_keys=['text'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_pipeline = [
    _base_.test_pipeline[0],
    resize,
    clean_text,
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_bboxes', 'det_bboxes'],
        meta_keys=['image_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'],
    ),
]
files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
detections = 'refcoco+/dets.json'
train_dataloader = dict(batch_size=32, dataset=dict(files, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(files, det_file=detections, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(files, split='testA', det_file=detections, pipeline=test_pipeline)
)
val_evaluator = dict(_delete_=True, type='mmvlfusion.BoxAccuracy')
test_evaluator = val_evaluator
