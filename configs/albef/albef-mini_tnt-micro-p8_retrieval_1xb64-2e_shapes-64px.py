# A small ALBEF fine-tuned, from pre-training, for retrieval of synthetic scenes and
# captions.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_retrieval.py',
    '../_base_/schedules/mplug_mini_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageTextRetrieval',
    momentum=0.99,
    queue_size=1024,
    num_candidates=16,
    head=None,
    objectives=dict(
        contrastive=dict(type='mmvlfusion.ContrastiveObjective', feature_dims=64),
        matching=dict(type='mmvlfusion.MatchingObjective'),
    ),
)
load_from = 'work_dirs/albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
val_cfg = dict(type='RetrievalValLoop')
test_cfg = dict(type='RetrievalTestLoop')
randomness = dict(seed=0)
