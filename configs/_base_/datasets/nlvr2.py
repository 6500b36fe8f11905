# NLVR2: statements about pairs of images, as json lists of ALBEF, at 384 pixels.
_base_ = './albef_augmentation.py'

image_size = 384
train_pipeline = [
    dict(
        type='mmvlfusion.LoadImages',
        transforms=[
            dict(type='mmvlfusion.LoadImage', on_error='skip'),
            dict(
                type='RandomResizedCrop',
                scale=image_size,
                crop_ratio_range=(0.5, 1.0),
                backend='pillow',
                interpolation='bicubic',
            ),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            {{_base_.rand_augment}},
        ],
    ),
    dict(type='mmvlfusion.CleanText', keys='question'),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = [
    dict(
        type='mmvlfusion.LoadImages',
        transforms=[
            dict(type='mmvlfusion.LoadImage'),
            dict(
                type='Resize',
                scale=(image_size, image_size),
                backend='pillow',
                interpolation='bicubic',
            ),
        ],
    ),
    dict(type='mmvlfusion.CleanText', keys='question'),
    dict(type='mmvlfusion.PackQuestions'),
]

dataset_type = 'mmvlfusion.NLVR2'
data_root = 'data/nlvr2'
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/nlvr_train.json',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/nlvr_dev.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(val_dataloader['dataset'], ann_file='annotations/nlvr_test.json'),
)

val_evaluator = dict(type='mmvlfusion.ExactMatchAccuracy', prefix='NLVR2')
test_evaluator = val_evaluator
