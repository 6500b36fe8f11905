# Demo: questions about synthetic scenes, answered by a small JAR model, three
# epochs. No published score. Reached here: 69.2 %.
_base_ = '../jar/jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py'

data_root = 'data/shapes64/easy/vqa'
model = dict(
    tokenizer='work_dirs/demo/vqa/tokenizer',
    backbone=dict(init_cfg=dict(checkpoint='work_dirs/demo/backbone/iter_1500.pth')),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        T_max=3,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=3)
