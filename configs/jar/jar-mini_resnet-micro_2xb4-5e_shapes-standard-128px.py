# Questions about cluttered synthetic scenes of three to eight shapes, on two cores;
# the backbone comes from fcn_resnet-micro_1xb32-2500it_shapes-standard-128px.py.
_base_ = [
    '../_base_/models/jar-mini_resnet-micro.py',
    '../_base_/datasets/shapes_vqa_bs16_64px.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    tokenizer='data/shapes16k/standard/tokenizer',
    backbone=dict(
        frozen_stages=1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/'
            'fcn_resnet-micro_1xb32-2500it_shapes-standard-128px/iter_2500.pth',
            prefix='backbone.')),
    fusion=dict(num_latents=32, num_layers=4))

data_root = 'data/shapes16k/standard/vqa'
image_size = (128, 128)
train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=image_size),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = train_pipeline
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=200),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        T_max=11,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=11)
randomness = dict(seed=0)
