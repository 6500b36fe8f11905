# Demo: captions of synthetic scenes by a small mPLUG without pre-training,
# four epochs. No published score; see the README of configs/mplug.
_base_ = '../mplug/mplug-mini_tnt-micro-p8_caption_1xb64-2e_shapes-64px.py'

data_root = 'data/shapes64/easy/caption'
model = dict(
    tokenizer='work_dirs/demo/caption/tokenizer',
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/demo/backbone/iter_1500.pth',
            prefix='backbone.',
        )
    ),
)
load_from = None
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=4),
]
train_cfg = dict(max_epochs=4)
