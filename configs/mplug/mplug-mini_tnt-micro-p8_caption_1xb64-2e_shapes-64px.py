# A small mPLUG fine-tuned, from pre-training, for captions of synthetic scenes.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/mplug-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_caption.py',
    '../_base_/schedules/mplug_mini_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.ImageCaptioning',
    text_encoder=None,
    fusion=dict(
        _delete_=True,
        type='mmvlfusion.ImageOnlyFusion',
        embed_dims=96,
        image_channels=96,
    ),
    head=dict(num_beams=3),
)
load_from = 'work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth'

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=2)]
train_cfg = dict(max_epochs=2)
val_evaluator = dict(type='mmvlfusion.CaptionMetric')
test_evaluator = val_evaluator
randomness = dict(seed=0)
