# mPLUG-large fine-tuned for visual grounding on RefCOCO.
# Published accuracy on the validation set: 92.40 (README of the released code). Not
# trained here.
_base_ = [
    '../_base_/models/mplug-large_clip-vit-large-p14.py',
    '../_base_/datasets/refcoco.py',
    '../_base_/schedules/mplug_finetune_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualGrounding',
    max_text_length=20,
    text_end_token=True,  # As released, in contrast to the other tasks.
    backbone=dict(img_size=336),
    head=dict(type='mmvlfusion.BoxGenerationHead', num_bins=336, first_token=339),
)
default_hooks = dict(data_files=dict(type='mmvlfusion.DataFilesHook'))
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/mplug-large.pth'

optim_wrapper = dict(
    accumulative_counts=4,
    optimizer=dict(lr=2e-5),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.25)}),
)
param_scheduler = dict(T_max=120)
train_cfg = dict(max_epochs=120)
auto_scale_lr = dict(base_batch_size=192)
