# VQA v2 on images of COCO 2014; the test split gives the file for the
# evaluation server.
dataset_type = 'mmvlfusion.VQAv2'
data_root = 'data/coco'
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
        data_prefix='train2014',
        question_file=
        'annotations/v2_OpenEnded_mscoco_train2014_questions.json',
        ann_file='annotations/v2_mscoco_train2014_annotations.json',
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
        data_prefix='val2014',
        question_file='annotations/v2_OpenEnded_mscoco_val2014_questions.json',
        ann_file='annotations/v2_mscoco_val2014_annotations.json',
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
        data_prefix='test2015',
        question_file=
        'annotations/v2_OpenEnded_mscoco_test2015_questions.json',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))

val_evaluator = dict(type='mmvlfusion.VQAScore')
test_evaluator = dict(
    type='mmvlfusion.AnswerDump', out_file='work_dirs/vqav2_test.json')
