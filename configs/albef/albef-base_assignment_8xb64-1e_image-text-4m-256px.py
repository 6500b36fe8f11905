# Text assignment, the second pre-training of ALBEF for pairs of images.
# No published score. Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/image-text-4m.py',
    '../_base_/schedules/albef_pretrain_30e_adamw.py',
    '../_base_/image_text_runtime.py',
]

model = dict(
    type='mmvlfusion.VisionLanguagePretraining',
    max_text_length=25,
    backbone=dict(img_size=256),
    fusion=dict(num_images=2),
    # It has the name of the objective whose projection it loads.
    objectives=dict(contrastive=dict(type='mmvlfusion.TextAssignmentObjective')),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-4m.pth'

optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = [
    dict(_base_.param_scheduler[0], start_factor=0.5, end=100),
    dict(_base_.param_scheduler[1], T_max=1),
]
train_cfg = dict(max_epochs=1)
