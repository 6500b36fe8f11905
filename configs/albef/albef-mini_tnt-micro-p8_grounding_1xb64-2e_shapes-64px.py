# A small ALBEF fine-tuned, from pre-training, for weakly supervised grounding on
# synthetic shapes: boxes by Grad-CAM among those of all objects of the scene.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_grounding.py',
    '../_base_/schedules/mplug_mini_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.GradCAMGrounding',
    attention='fusion.layers.1.cross_attn',
    momentum=0.99,
    queue_size=1024,
    head=None,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', feature_dims=64),
        matching=dict(type='mmvlfusion.MatchingObjective'),
    ),
)
default_hooks = dict(data_files=dict(type='mmvlfusion.DataFilesHook'))
load_from = 'work_dirs/albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

test_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_bboxes', 'det_bboxes'],
        meta_keys=['image_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'],
    ),
]
val_dataloader = dict(
    dataset=dict(det_file='annotations/instances_val.json', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mmvlfusion.BoxAccuracy')
test_evaluator = val_evaluator

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
