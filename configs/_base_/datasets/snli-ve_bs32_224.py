# SNLI-VE on images of Flickr30k.
dataset_type = 'mmvlfusion.SNLIVE'
data_root = 'data/flickr30k'
image_size = 224

train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic'),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(
        type='Resize',
        scale=(image_size, image_size),
        backend='pillow',
        interpolation='bicubic'),
    dict(type='mmvlfusion.PackQuestions'),
]

# No flips: they would exchange left and right in the answers.
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_train.jsonl',
        max_questions=8,
        pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_dev.jsonl',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_test.jsonl',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))

val_evaluator = dict(type='mmvlfusion.GQAAcc', prefix='SNLI-VE')
test_evaluator = val_evaluator
